"""ADM between networks whose maps have other grids and other numbers of channels, against PyTorch: 8x8 places against 4x4, 4x4 against
2x2, anything against a single place, with the larger map on either side."""
import os
import unittest

from adm_forms import forms
from dense_harness import worn
from harness import AgreementCase, main, models, peers, to_arrays

DML = {"name": "dml"}


class Unlike(AgreementCase):
    """A learning rate at which what a flipped ReLU does to a step stays small beside the weights: norms over few numbers magnify it. From a
    start where no bias and no norm is trivial; but shufflenet_v1, which magnifies rounding from there (test_families.Cancellation), from
    its ordinary start. Three steps: what these tests are for is in each of them; a ReLU may flip in all but one."""

    flips, steps, lr = 2, 3, 0.002
    PAIR = NotImplemented

    def unlike(self, adm, *words, method=None, frozen=(), **train):
        networks = peers(*(words or self.PAIR))
        for n in networks:
            n["frozen"] = n["name"] in frozen
        start = {n["name"]: to_arrays(worn(models.build(n["model"], seed=50 + i))) for i, n in enumerate(networks)
                 if n["model"] != "shufflenet_v1"}
        self.agree(networks, method or DML, adm=adm, start=start, train={"lr": self.lr, **train})

    def form(self, adm):
        self.unlike(adm)


@forms(consensus=("align", "modulate"), divergence=("repel", "modulate"))
class LargerTeacher(Unlike):
    """64x8x8 against 960x4x4."""

    PAIR = "teacher=resnet8", "student=shufflenet_v1"


@forms(consensus=("align",), divergence=("repel", "modulate"))
class LargerStudent(Unlike):
    """1280x2x2 against 64x8x8: each place of the one is 16 of the other."""

    PAIR = "teacher=mobilenet_half", "student=resnet8"


class FourAgainstTwo(Unlike):
    """512x4x4 against 1280x2x2."""

    PAIR = "teacher=vgg8", "student=mobilenet_half"

    def test_forms(self):
        for consensus, divergence in (("align", "modulate"), ("modulate", "repel")):
            with self.subTest(consensus=consensus, divergence=divergence):
                self.unlike({"consensus": consensus, "divergence": divergence}, batch=8)


class OnePlace(Unlike):
    """512x1x1: all that can be similar is the mean of the other's map."""

    PAIR = "teacher=resnet8", "student=resnet18"

    def test_places_that_are_not_weighed(self):
        self.unlike({"consensus": "align", "divergence": "repel", "weights": "none"})

    def test_mean_weights_are_one(self):
        self.unlike({}, "teacher=resnet18", "student=resnet8")

    def test_views_of_one_number(self):
        for view in ("label", "attention"):
            with self.subTest(view=view):
                self.unlike({"view": view, "consensus": "modulate", "divergence": "modulate"})

    def test_channels(self):
        self.unlike({"view": "channel", "consensus": "align", "divergence": "repel"}, "teacher=vgg8", "student=resnet18", batch=8)

    def test_channels_of_earlier_maps(self):
        # 128x16x16 against 128x8x8
        self.unlike({"view": "channel", "stage": "stage1", "consensus": "align", "divergence": "repel"}, "teacher=mobilenet_v1", "student=vgg8",
                    batch=8)


class Views(Unlike):
    PAIR = "teacher=resnet8", "student=mobilenet_half"

    def test_of_one_number(self):
        for view in ("label", "attention"):
            with self.subTest(view=view):
                self.unlike({"view": view, "consensus": "modulate", "divergence": "modulate"})


class Weights(Unlike):
    PAIR = "teacher=mobilenet_half", "student=resnet8"

    def test_every_kind(self):
        for weights in ("none", "uniform", "softmax"):
            with self.subTest(weights=weights):
                self.unlike({"weights": weights, "tau": 0.3, "consensus": "modulate", "divergence": "modulate"})

    def test_gradient_through_similarity(self):
        self.unlike({"detach": False, "divergence": "off"})


class Companies(Unlike):
    def test_two_students_on_two_grids(self):
        self.unlike({}, "teacher=resnet8", "student1=shufflenet_v1", "student2=mobilenet_half")

    def test_a_frozen_teacher(self):
        self.unlike({"consensus": "modulate"}, "teacher=resnet8", "student=mobilenet_half", method={"name": "kd"}, frozen=("teacher",))


@unittest.skipUnless(os.environ.get("DUET_TEST_LARGE"), "a minute of large networks: DUET_TEST_LARGE=1")
class RecipesPairs(Unlike):
    """Those of the recipes, with few pictures."""

    flips, steps = 4, 10

    def test_resnet32x4_shufflenet_v1(self):
        self.unlike({}, "teacher=resnet32x4", "student=shufflenet_v1", batch=8)

    def test_vgg13_mobilenet_half(self):
        self.unlike({}, "teacher=vgg13", "student=mobilenet_half", batch=8)


class DropoutOfTheHead(Unlike):
    """The base loss reads the pooled map through dropout, ADM's second pass without."""

    def test_modulate(self):
        self.unlike({"consensus": "modulate", "divergence": "off"}, "teacher=resnet8", "student=mobilenet_v2")

    def test_of_a_teacher(self):
        self.unlike({"consensus": "off", "divergence": "modulate"}, "teacher=mobilenet_v2", "student=resnet8")


if __name__ == "__main__":
    main()
