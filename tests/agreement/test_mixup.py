"""Mixup against PyTorch: pictures and labels mixed by shares and permutations that are drawn here anew from duet's streams."""
import unittest

from harness import AgreementCase, main, peers

import numpy as np
import philox

PAIR = peers("teacher=resnet14", "student=resnet8")
DML = {"name": "dml"}


class Mixup(AgreementCase):
    steps = 7  # where epochs matter, the seventh is in the second

    def mix(self, networks, method, alpha=0.4, data=None, **options):
        return self.agree(networks, method, data={"mixup": alpha, **(data or {})}, **options)

    def test_two_networks_with_label_smoothing(self):
        self.mix(PAIR, {"name": "vanilla"}, alpha=1, train={"label_smoothing": 0.1})

    def test_a_frozen_teacher_sees_the_mixed_pictures_too(self):
        networks = peers("teacher=resnet14", "student=resnet8")
        networks[0]["frozen"] = True
        self.mix(networks, {"name": "kd"}, images=80)  # five steps an epoch

    def test_each_network_with_variations_of_its_own_mixes_the_same_two(self):
        for target in ("minlogit", "naive", "mean"):
            with self.subTest(target=target):
                self.mix(PAIR, {"name": "kdcl", "target": target}, data={"views": "independent"})

    def test_weights_by_held_out_images_that_are_not_mixed(self):
        self.mix(PAIR, {"name": "kdcl", "target": "general"}, data={"validation": 32}, images=128)

    def test_switokd(self):
        self.mix(PAIR, {"name": "switokd"})

    def test_adm(self):
        self.mix(PAIR, DML, adm={})
        self.mix(PAIR, DML, adm={"consensus": "modulate", "view": "label"})

    def test_weights_of_classes_go_with_either_label(self):
        weights = {"class_weights": [0.25 * (c % 7) + 0.1 for c in range(100)]}
        self.mix(PAIR, DML, adm={"consensus": "modulate"}, task=weights)
        self.mix(PAIR, {"name": "vanilla"}, alpha=1, task=weights, train={"label_smoothing": 0.2})

    def test_several_batches_to_a_step_each_with_a_share_of_its_own(self):
        self.mix(PAIR, DML, train={"accumulate": 2, "batch": 8})


class Shares(unittest.TestCase):
    def test_of_many_batches(self):
        """The sampler that the comparison rests on: mean 1/2 and variance 1 / (8 alpha + 4), five deviations either side."""
        for alpha in (0.2, 1.0, 3.0):
            x = np.array([float(philox.mixup(1, alpha, 1, 0, step)[0]) for step in range(600)])
            variance = 1 / (8 * alpha + 4)
            self.assertLess(abs(x.mean() - 0.5), 5 * (variance / len(x))**0.5)
            self.assertLess(abs(x.var() / variance - 1), 5 * (2 / len(x))**0.5)


if __name__ == "__main__":
    main()
