"""ADM in denoising against PyTorch: every form, view and way of weighing places."""
import itertools

from dense_harness import DenoiseCase

from harness import main, peers

PAIR = peers("teacher=unet_c16", "student=unet_c8")
DML = {"name": "dml"}


class Adm(DenoiseCase):
    """Every combination of what the student and the teacher do, with the default view and weights."""


def add_form(consensus, divergence):
    def test(self):
        self.agree(PAIR, DML, adm={"consensus": consensus, "divergence": divergence})
    setattr(Adm, f"test_{consensus}_{divergence}", test)


for form in itertools.product(("align", "modulate", "off"), ("repel", "modulate", "off")):
    add_form(*form)


class AdmOptions(DenoiseCase):
    def test_views(self):
        for view, consensus, divergence in (("channel", "align", "repel"), ("channel", "modulate", "modulate"),
                                            ("attention", "modulate", "modulate")):
            with self.subTest(view=view, consensus=consensus):
                self.agree(peers("teacher=unet_c8", "student=unet_c8"), DML,
                           adm={"view": view, "consensus": consensus, "divergence": divergence})

    def test_patches(self):
        for patch in (1, 2, 8):
            with self.subTest(patch=patch):
                self.agree(PAIR, DML, adm={"divergence": "repel"}, task={"patch": patch})

    def test_weights(self):
        for weights in ("none", "uniform", "softmax"):
            with self.subTest(weights=weights):
                self.agree(PAIR, DML, adm={"weights": weights, "tau": 0.02})


if __name__ == "__main__":
    main()
