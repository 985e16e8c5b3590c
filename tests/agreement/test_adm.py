"""ADM against PyTorch: consensus x divergence, every view, every way of weighing places, and the base methods below it."""
from adm_forms import every_weight, forms
from harness import AgreementCase, main, peers
import test_methods

PAIR = peers("teacher=resnet8", "student=resnet8")
DML = {"name": "dml"}


@forms(consensus=("align", "modulate"), divergence=("repel", "modulate"))
class Forms(AgreementCase):
    """What the student and the teacher do, with the default view and weights; test_realistic.py has those with one side off."""

    def form(self, adm):
        self.agree(PAIR, DML, adm=adm)


class Defaults(AgreementCase):
    def test_an_empty_section(self):
        self.agree(PAIR, DML, adm={})


class Views(AgreementCase):
    """The vector views carry align and repel; the scalar ones only weigh places."""

    def test_class(self):
        self.agree(PAIR, DML, adm={"view": "class", "consensus": "modulate", "divergence": "repel"})

    def test_class_on_unequal_channels(self):
        for teacher, batch in (("wrn_16_2", 16), ("resnet8x4", 4)):
            with self.subTest(teacher=teacher):
                self.agree(peers(f"teacher={teacher}", "student=resnet8"), DML, train={"batch": batch},
                           adm={"consensus": "align", "divergence": "repel"})

    def test_channel(self):
        for consensus, divergence in (("align", "repel"), ("modulate", "modulate")):
            with self.subTest(consensus=consensus, divergence=divergence):
                self.agree(PAIR, DML, adm={"view": "channel", "consensus": consensus, "divergence": divergence})

    def test_label(self):
        self.agree(PAIR, DML, adm={"view": "label", "consensus": "modulate", "divergence": "modulate"})

    def test_attention(self):
        self.agree(PAIR, DML, adm={"view": "attention", "consensus": "modulate", "divergence": "modulate"})

    def test_channel_at_an_earlier_stage(self):
        self.agree(PAIR, DML, adm={"view": "channel", "stage": "stage2", "consensus": "align", "divergence": "repel"})

    def test_maps_before_the_last_activation(self):
        self.agree(peers("teacher=wrn_16_1", "student=wrn_16_1"), DML,
                   adm={"view": "channel", "stage": "stage3", "consensus": "align", "divergence": "repel"})


class Weights(AgreementCase):
    def test_every_kind(self):
        every_weight(self, PAIR, DML, tau=0.3)


class Options(AgreementCase):
    def test_strengths_and_warmup(self):
        self.agree(PAIR, DML, adm={"alpha": 0.7, "beta": 1.3, "warmup_epochs": 4}, images=80)

    def test_gradient_through_similarity(self):
        for weights in ("mean", "none"):
            with self.subTest(weights=weights):
                self.agree(PAIR, DML, adm={"detach": False, "weights": weights})


class OverOtherMethods(AgreementCase):
    def test_vanilla(self):
        self.agree(PAIR, {"name": "vanilla"}, adm={"consensus": "modulate"})

    def test_kd_leaves_the_frozen_teacher_alone(self):
        networks = peers("teacher=resnet14", "student=resnet8")
        networks[0]["frozen"] = True
        self.agree(networks, {"name": "kd"}, adm={})

    def test_kdcl(self):
        self.agree(PAIR, {"name": "kdcl"}, adm={})

    def test_one_teacher_two_students(self):
        self.agree(peers("teacher=resnet14", "student1=resnet8", "student2=wrn_16_1"), DML, adm={})

    def test_two_teachers_one_student(self):
        self.agree(peers("teacher1=resnet14", "teacher2=resnet8", "student=resnet8"), DML, adm={"divergence": "repel"})


class LabelSmoothing(AgreementCase):
    def test_it_smooths_the_base_loss_alone(self):
        self.agree(PAIR, DML, adm={"consensus": "modulate"}, train={"label_smoothing": 0.1})


class OverSwitokd(test_methods.Switokd):
    """A teacher that pauses gets no divergence term either."""

    def switch(self, networks, start, **options):
        return super().switch(networks, start, adm={}, **options)

    def outcomes(self, found, first):
        # ADM moves the networks further than what they were taught lasts; both outcomes are still there.
        for pair in range(len(first[0])):
            self.assertEqual({outcome[pair] for outcome in found}, {True, False})

    # The base class's other tests would only repeat themselves.
    test_pair_with_the_papers_criterion_and_other_options = None


if __name__ == "__main__":
    main()
