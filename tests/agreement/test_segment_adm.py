"""ADM in segmentation against PyTorch: every form, view and way of weighing places, on masks with holes."""
from dense_harness import DML, SegmentCase

from adm_forms import every_view, every_weight, forms
from harness import main, peers

PAIR = SegmentCase.PAIR


@forms()
class Adm(SegmentCase):
    """Every combination of what the student and the teacher do, with the default view and weights."""

    def form(self, adm):
        self.agree(PAIR, DML, adm=adm, **self.TEN)


class AdmOptions(SegmentCase):
    def test_views(self):
        every_view(self, PAIR, DML)

    def test_unequal_channels(self):
        self.agree(peers("teacher=seg8x2", "student=seg8"), DML, adm={"divergence": "repel"})

    def test_weights(self):
        every_weight(self, PAIR, DML, tau=0.3)

    def test_strengths_and_warmup(self):
        self.agree(PAIR, {"name": "vanilla"}, adm={"alpha": 0.7, "beta": 1.3, "warmup_epochs": 4}, steps=6)

    def test_two_teachers(self):
        self.agree(peers("teacher1=seg14", "teacher2=seg8", "student=seg8"), DML, adm={"consensus": "modulate"})

    def test_a_frozen_teacher(self):
        self.agree(self.with_frozen_teacher(), {"name": "kd"}, adm={})


if __name__ == "__main__":
    main()
