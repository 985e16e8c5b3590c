"""Denoising against PyTorch: predicting the noise under every base method, Adam, clipping, the moving average."""
import os
import unittest

from dense_harness import DML, DenoiseCase, dense_models, torch, worn

from harness import main, peers

PAIR = DenoiseCase.PAIR


class Vanilla(DenoiseCase):
    def test_pair(self):
        self.agree(PAIR, {"name": "vanilla"}, **self.TEN)

    def test_linear_schedule(self):
        self.agree(PAIR, {"name": "vanilla"}, task={"noise": "linear"})

    def test_several_batches_to_a_step(self):
        self.agree(PAIR, DML, adm={}, train={"accumulate": 2, "batch": 4, "clip_norm": 0.5, "ema": 0.99})

    def test_two_blocks_a_level(self):
        self.agree(peers("peer=unet_c16d2"), {"name": "vanilla"}, images=24)

    @unittest.skipUnless(os.environ.get("DUET_TEST_LARGE"), "a large network: DUET_TEST_LARGE=1")
    def test_dropout_and_attention_at_sixteen(self):
        self.agree(peers("peer=unet_c64"), {"name": "vanilla"}, images=8, train={"batch": 2}, steps=2)

    @unittest.skipUnless(os.environ.get("DUET_TEST_LARGE"), "a large network: DUET_TEST_LARGE=1")
    def test_every_batch_of_a_step_has_dropout_of_its_own(self):
        self.agree(peers("peer=unet_c64"), {"name": "vanilla"}, images=8, train={"batch": 1, "accumulate": 2}, steps=2)


class Kd(DenoiseCase):
    def test_pair(self):
        self.agree(self.with_frozen_teacher(), {"name": "kd"}, **self.TEN)

    def test_weight(self):
        self.agree(self.with_frozen_teacher(), {"name": "kd", "weight": 0.6})

    def test_alpha(self):
        self.agree(self.with_frozen_teacher(), {"name": "kd", "weight": 0, "alpha": 0.7})

    def test_with_adm(self):
        self.agree(self.with_frozen_teacher(), {"name": "kd"}, adm={})


class Dml(DenoiseCase):
    def test_pair(self):
        self.agree(PAIR, DML, **self.TEN)

    def test_three_peers_and_warmup(self):
        self.agree(peers("peer1=unet_c8", "peer2=unet_c16", "peer3=unet_c8"), {"name": "dml", "warmup_epochs": 3},
                   steps=6)  # five an epoch


class Kdcl(DenoiseCase):
    def test_targets(self):
        for target in ("mean", "naive", "linear"):
            with self.subTest(target=target):
                self.agree(PAIR, {"name": "kdcl", "target": target})

    def test_general_is_recomputed_each_epoch(self):
        self.agree(peers("peer1=unet_c8", "peer2=unet_c16", "peer3=unet_c8"), {"name": "kdcl", "target": "general"},
                   data={"validation": 8}, steps=5)  # four an epoch


class Switokd(DenoiseCase):
    """A teacher that starts behind its student and learns quickly: first it learns, then it waits."""

    def switch(self, adm=None):
        start = {}
        for name, seed, scale in (("teacher", 1, 1.1), ("student", 2, 0.8)):
            net = worn(dense_models.build("unet_c8", seed=seed))
            with torch.no_grad():
                net.last().weight *= scale
            start[name] = net
        networks = peers("teacher=unet_c8", "student=unet_c8")
        networks[1]["lr_scale"] = 0.1
        outcomes = self.agree(networks, {"name": "switokd"}, adm=adm, start=start, train={"lr": 0.003, "batch": 4}, steps=10)
        self.assertEqual(set(outcomes), {(True,), (False,)})

    def test_pair(self):
        self.switch()

    def test_with_adm(self):
        self.switch(adm={})


class Training(DenoiseCase):
    def test_clipping_and_warmup(self):
        self.agree(PAIR, DML, train={"clip_norm": 0.3, "schedule": {"name": "constant", "warmup_epochs": 1}}, steps=3)

    def test_average(self):
        self.agree(PAIR, DML, train={"ema": 0.25}, steps=4)  # the warm start rules the first two or three

    def test_sgd(self):
        self.agree(PAIR, DML, train={"optimizer": "sgd", "lr": 0.01, "weight_decay": 0.01})


if __name__ == "__main__":
    main()
