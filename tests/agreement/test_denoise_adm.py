"""ADM in denoising against PyTorch: every form, view and way of weighing places."""
from dense_harness import DML, DenoiseCase

from adm_forms import every_view, every_weight, forms
from harness import main, peers

PAIR = DenoiseCase.PAIR
SMALL = peers("teacher=unet_c8", "student=unet_c8")


@forms()
class Adm(DenoiseCase):
    """Every combination of what the student and the teacher do, with the default view and weights."""

    def form(self, adm):
        self.agree(SMALL, DML, adm=adm, **self.TEN)


class AdmOptions(DenoiseCase):
    def test_views(self):
        every_view(self, SMALL, DML)

    def test_patches(self):
        for patch in (1, 2, 8):
            with self.subTest(patch=patch):
                self.agree(PAIR, DML, adm={"divergence": "repel"}, task={"patch": patch})

    def test_weights(self):
        every_weight(self, PAIR, DML, tau=0.02, ways=[("modulate", "modulate")])


if __name__ == "__main__":
    main()
