"""Segmentation against PyTorch: the task's loss under every base method, on masks with holes and pictures without any label."""
import itertools
import os
import unittest

from dense_harness import DML, SegmentCase, dense_models, torch, worn

from harness import main, peers

PAIR = SegmentCase.PAIR


class Vanilla(SegmentCase):
    def test_seg(self):
        self.agree(PAIR, {"name": "vanilla"}, **self.TEN)

    def test_wide(self):
        self.agree(peers("peer=seg8x2"), {"name": "vanilla"})

    def test_a_size_that_no_stride_divides(self):
        self.agree(peers("peer=seg8"), {"name": "vanilla"}, size=(37, 45))

    def test_weights_of_classes(self):
        weights = [0.5, 2, 0, 1, 0.25, 3, 1]
        self.agree(PAIR, DML, adm={"consensus": "modulate"}, task={"class_weights": weights})

    def test_several_batches_to_a_step(self):
        """Each batch counts its own pixels."""
        self.agree(PAIR, DML, adm={}, train={"accumulate": 2, "batch": 4})

    def test_a_batch_without_any_label_only_decays(self):
        self.agree(PAIR, DML, adm={}, unlabelled=tuple(range(8, 16)))


@unittest.skipUnless(os.environ.get("DUET_TEST_LARGE"), "a minute of large networks: DUET_TEST_LARGE=1")
class LargeNetworks(SegmentCase):
    """Their auxiliary head, corners on corners, rates beyond the map, three convolutions or one at the start."""

    BATCH = 4
    TRAIN = {"lr": 0.002, "weight_decay": 0.01}
    STEP_TOLERANCE = 0.1  # one ReLU on the other side of zero, behind a batch norm of four numbers

    def large(self, model, **options):
        self.agree(peers(f"peer={model}"), {"name": "vanilla"}, images=8, size=(49, 65), unlabelled=(3,), steps=2, **options)

    def test_deeplab(self):
        self.large("deeplabv3_resnet18")

    def test_deeplab_without_its_auxiliary_loss(self):
        self.large("deeplabv3_resnet18", task={"aux_weight": 0})

    def test_pspnet(self):
        self.large("pspnet_resnet18", task={"aux_weight": 0.5})

    def test_two_families_learn_from_each_other(self):
        """Another grid and another way of resizing on each side."""
        self.agree(peers("teacher=pspnet_resnet18", "student=seg8"), DML, adm={}, images=8, size=(49, 65),
                   unlabelled=(3,), steps=2)


class Kd(SegmentCase):
    def test_the_loss_and_the_teacher(self):
        self.agree(self.with_frozen_teacher(), {"name": "kd"}, **self.TEN)

    def test_weight_and_temperature(self):
        self.agree(self.with_frozen_teacher(), {"name": "kd", "temperature": 3, "weight": 0.6, "warmup_epochs": 2})

    def test_alpha(self):
        self.agree(self.with_frozen_teacher(), {"name": "kd", "temperature": 2, "weight": 0, "alpha": 0.7})


class Dml(SegmentCase):
    def test_pair(self):
        self.agree(PAIR, DML, **self.TEN)

    def test_on_the_grid_and_on_pixels_of_known_and_of_all_places(self):
        for where, places in itertools.product(("grid", "pixels"), ("valid", "all")):
            with self.subTest(kd_at=where, kd_places=places):
                self.agree(PAIR, {"name": "dml", "temperature": 2}, task={"kd_at": where, "kd_places": places})

    def test_three_peers_and_warmup(self):
        self.agree(peers("peer1=seg8", "peer2=seg14", "peer3=seg8x2"), {"name": "dml", "warmup_epochs": 3},
                   steps=6)  # five an epoch


class Kdcl(SegmentCase):
    def test_pixel_targets(self):
        for target in ("naive", "minlogit", "linear"):
            with self.subTest(target=target):
                self.agree(PAIR, {"name": "kdcl", "target": target, "temperature": 2}, task={"kd_at": "pixels"})

    def test_general_is_recomputed_each_epoch(self):
        self.agree(PAIR, {"name": "kdcl", "target": "general", "temperature": 2}, task={"kd_at": "pixels"},
                   data={"validation": 8}, steps=5)  # four an epoch

    def test_mean(self):
        for where in ("grid", "pixels"):
            with self.subTest(kd_at=where):
                self.agree(PAIR, {"name": "kdcl", "target": "mean", "temperature": 2}, task={"kd_at": where})


class Switokd(SegmentCase):
    """A teacher that starts behind its student and learns quickly: first it learns, then it waits.

    Its gradient is large: at a rate of 0.1 a step is a third of the first convolution's weights, and a part in a hundred of that
    is more than the thousandth of the weights that is allowed. A single ReLU is enough for it: there, in the second step with
    ADM, one input of duet's, 1e-7 of its map's deviation from zero, falls on the other side, and with that one turned around
    PyTorch in float64 has duet's gradient to 1.5e-6 (1.1e-2 before); PyTorch in float32 leaves float64 alike in other steps."""

    def switch(self, outcomes={(True,), (False,)}, adm=None, **options):
        start = {}
        for name, seed, background in (("teacher", 1, -4), ("student", 2, 2)):
            net = worn(dense_models.build("seg8", self.CLASSES, seed=seed))
            with torch.no_grad():
                net.last().weight *= 5
                net.last().bias[0] += background
            start[name] = net
        networks = peers("teacher=seg8", "student=seg8")
        networks[1]["lr_scale"] = 0.05
        found = self.agree(networks, {"name": "switokd", **options}, adm=adm, start=start, train={"lr": 0.04}, steps=10)
        self.assertEqual(set(found), outcomes)

    def test_pair(self):
        self.switch()

    def test_temperature_and_paused_statistics(self):
        self.switch(temperature=2, t_squared=True, pause_statistics=True)

    def test_the_papers_criterion(self):
        self.switch({(True,)}, criterion="paper")

    def test_with_adm(self):
        self.switch(adm={})


class Training(SegmentCase):
    def test_poly(self):
        self.agree(PAIR, DML, train={"steps": 20, "schedule": {"name": "poly", "power": 0.9}})

    def test_average_keeps_running_statistics_as_they_are(self):
        self.agree(PAIR, DML, train={"ema": 0.9})


class Adam(SegmentCase):
    """Adam divides by what a ReLU on the other side of zero moves by a part in a hundred; denoising, which has none, holds its
    formula to rounding."""

    STEP_TOLERANCE = 0.1
    TRAIN = {"lr": 0.0005, "weight_decay": 0.01}

    def test_adam(self):
        self.agree(PAIR, DML, train={"optimizer": "adam"})

    def test_adamw_and_clipping(self):
        self.agree(PAIR, DML, train={"optimizer": "adamw", "clip_norm": 0.5})


if __name__ == "__main__":
    main()
