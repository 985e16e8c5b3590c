"""ADM in segmentation against PyTorch: every form, view and way of weighing places, on masks with holes."""
import itertools

from dense_harness import SegmentCase

from harness import main, peers

PAIR = peers("teacher=seg14", "student=seg8")
DML = {"name": "dml"}


class Adm(SegmentCase):
    """Every combination of what the student and the teacher do, with the default view and weights."""


def add_form(consensus, divergence):
    def test(self):
        self.agree(PAIR, DML, adm={"consensus": consensus, "divergence": divergence})
    setattr(Adm, f"test_{consensus}_{divergence}", test)


for form in itertools.product(("align", "modulate", "off"), ("repel", "modulate", "off")):
    add_form(*form)


class AdmOptions(SegmentCase):
    def test_views(self):
        for view, consensus, divergence in (("channel", "align", "repel"), ("channel", "modulate", "modulate"),
                                            ("attention", "modulate", "modulate")):
            with self.subTest(view=view, consensus=consensus):
                self.agree(PAIR, DML, adm={"view": view, "consensus": consensus, "divergence": divergence})

    def test_unequal_channels(self):
        self.agree(peers("teacher=seg8x2", "student=seg8"), DML, adm={"divergence": "repel"})

    def test_weights(self):
        for weights in ("none", "uniform", "softmax"):
            for consensus, divergence in (("modulate", "modulate"), ("align", "repel")):
                with self.subTest(weights=weights, consensus=consensus):
                    self.agree(PAIR, DML, adm={"weights": weights, "tau": 0.3, "consensus": consensus,
                                                          "divergence": divergence})

    def test_strengths_and_warmup(self):
        self.agree(PAIR, {"name": "vanilla"}, adm={"alpha": 0.7, "beta": 1.3, "warmup_epochs": 4}, steps=6)

    def test_two_teachers(self):
        self.agree(peers("teacher1=seg14", "teacher2=seg8", "student=seg8"), DML, adm={"consensus": "modulate"})

    def test_a_frozen_teacher(self):
        networks = peers("teacher=seg14", "student=seg8")
        networks[0]["frozen"] = True
        self.agree(networks, {"name": "kd"}, adm={})


if __name__ == "__main__":
    main()
