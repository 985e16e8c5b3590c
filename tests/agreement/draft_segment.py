"""Segmentation against PyTorch: the task's loss under every base method and ADM, on masks with holes and pictures without any
label."""
import itertools

from dense_harness import SegmentCase, dense_models, peers, torch, worn

from harness import main

PAIR = peers("teacher=seg14", "student=seg8")
DML = {"name": "dml"}


class Vanilla(SegmentCase):
    def test_seg(self):
        self.agree(PAIR, {"name": "vanilla"})

    def test_wide(self):
        self.agree(peers("peer=seg8x2"), {"name": "vanilla"}, images=40)

    def test_a_size_that_no_stride_divides(self):
        self.agree(peers("peer=seg8"), {"name": "vanilla"}, size=(37, 45), images=40)

    def test_a_batch_without_any_label_only_decays(self):
        self.agree(PAIR, DML, adm={}, unlabelled=tuple(range(8, 16)))


class LargeNetworks(SegmentCase):
    """Their auxiliary head, corners on corners, rates beyond the map, three convolutions or one at the start."""

    BATCH = 4
    TRAIN = {"lr": 0.002, "weight_decay": 0.01}

    def large(self, model, **options):
        self.agree(peers(f"peer={model}"), {"name": "vanilla"}, images=16, size=(49, 65), **options)

    def test_deeplab(self):
        self.large("deeplabv3_resnet18")

    def test_deeplab_without_its_auxiliary_loss(self):
        self.large("deeplabv3_resnet18", task={"aux_weight": 0})

    def test_pspnet(self):
        self.large("pspnet_resnet18", task={"aux_weight": 0.5})

    def test_two_families_learn_from_each_other(self):
        """Another grid and another way of resizing on each side."""
        self.agree(peers("teacher=pspnet_resnet18", "student=seg8"), DML, adm={}, images=16, size=(49, 65))


class Kd(SegmentCase):
    def frozen(self):
        networks = peers("teacher=seg14", "student=seg8")
        networks[0]["frozen"] = True
        return networks

    def test_the_loss_and_the_teacher(self):
        self.agree(self.frozen(), {"name": "kd"})

    def test_weight_and_temperature(self):
        self.agree(self.frozen(), {"name": "kd", "temperature": 3, "weight": 0.6})

    def test_alpha(self):
        self.agree(self.frozen(), {"name": "kd", "temperature": 2, "alpha": 0.7})


class Dml(SegmentCase):
    def test_on_the_grid_and_on_pixels_of_known_and_of_all_places(self):
        for where, places in itertools.product(("grid", "pixels"), ("valid", "all")):
            with self.subTest(kd_at=where, kd_places=places):
                self.agree(PAIR, {"name": "dml", "temperature": 2}, task={"kd_at": where, "kd_places": places}, images=40)

    def test_three_peers_and_warmup(self):
        self.agree(peers("peer1=seg8", "peer2=seg14", "peer3=seg8x2"), {"name": "dml", "warmup_epochs": 3}, images=40)


class Kdcl(SegmentCase):
    def test_pixel_targets(self):
        for target in ("naive", "minlogit", "linear"):
            with self.subTest(target=target):
                self.agree(PAIR, {"name": "kdcl", "target": target, "temperature": 2}, task={"kd_at": "pixels"}, images=40)

    def test_mean(self):
        for where in ("grid", "pixels"):
            with self.subTest(kd_at=where):
                self.agree(PAIR, {"name": "kdcl", "target": "mean", "temperature": 2}, task={"kd_at": where}, images=40)

    def test_general_is_recomputed_each_epoch(self):
        self.agree(PAIR, {"name": "kdcl", "target": "general", "temperature": 2}, task={"kd_at": "pixels"},
                   data={"validation": 16}, images=64)


class Switokd(SegmentCase):
    """A teacher that starts behind its student and learns quickly: first it learns, then it waits."""

    def start(self):
        out = {}
        for name, seed, bias in (("teacher", 1, -1.5), ("student", 2, 0.5)):
            net = worn(dense_models.build("seg8", self.CLASSES, seed=seed))
            with torch.no_grad():
                net.last().bias[0] += bias  # of the background
            out[name] = net
        return out

    def switch(self, adm=None, **options):
        networks = peers("teacher=seg8", "student=seg8")
        networks[1]["lr_scale"] = 0.1
        outcomes = self.agree(networks, {"name": "switokd", **options}, adm=adm, start=self.start(), images=40,
                              train={"lr": 0.02})
        self.assertEqual(set(outcomes), {(True,), (False,)})

    def test_pair(self):
        self.switch()

    def test_temperature_and_paused_statistics(self):
        self.switch(temperature=2, t_squared=True, pause_statistics=True)

    def test_with_adm(self):
        self.switch(adm={})


class Adm(SegmentCase):
    """Every combination of what the student and the teacher do, with the default view and weights."""


def add_form(consensus, divergence):
    def test(self):
        self.agree(PAIR, DML, adm={"consensus": consensus, "divergence": divergence}, images=40)
    setattr(Adm, f"test_{consensus}_{divergence}", test)


for form in itertools.product(("align", "modulate", "off"), ("repel", "modulate", "off")):
    add_form(*form)


class AdmOptions(SegmentCase):
    def test_views(self):
        for view, consensus, divergence in (("channel", "align", "repel"), ("channel", "modulate", "modulate"),
                                            ("attention", "modulate", "modulate")):
            with self.subTest(view=view, consensus=consensus):
                self.agree(PAIR, DML, adm={"view": view, "consensus": consensus, "divergence": divergence}, images=40)

    def test_unequal_channels(self):
        self.agree(peers("teacher=seg8x2", "student=seg8"), DML, adm={"divergence": "repel"}, images=40)

    def test_weights(self):
        for weights in ("none", "uniform", "softmax"):
            for consensus, divergence in (("modulate", "modulate"), ("align", "repel")):
                with self.subTest(weights=weights, consensus=consensus):
                    self.agree(PAIR, DML, images=40, adm={"weights": weights, "tau": 0.3, "consensus": consensus,
                                                          "divergence": divergence})

    def test_strengths_and_warmup(self):
        self.agree(PAIR, {"name": "vanilla"}, adm={"alpha": 0.7, "beta": 1.3, "warmup_epochs": 4}, images=40)

    def test_two_teachers(self):
        self.agree(peers("teacher1=seg14", "teacher2=seg8", "student=seg8"), DML, adm={"consensus": "modulate"}, images=40)

    def test_a_frozen_teacher(self):
        networks = peers("teacher=seg14", "student=seg8")
        networks[0]["frozen"] = True
        self.agree(networks, {"name": "kd"}, adm={}, images=40)


class Training(SegmentCase):
    def test_poly(self):
        self.agree(PAIR, DML, train={"steps": 20, "schedule": {"name": "poly", "power": 0.9}})

    def test_adam(self):
        self.agree(PAIR, DML, train={"optimizer": "adam", "lr": 0.0005, "weight_decay": 0.01})

    def test_adamw_and_clipping(self):
        self.agree(PAIR, DML, train={"optimizer": "adamw", "lr": 0.0005, "weight_decay": 0.05, "clip_norm": 0.5})


if __name__ == "__main__":
    main()
