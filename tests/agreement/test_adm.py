"""ADM against PyTorch: consensus x divergence, every view, every way of weighing places, and the base methods below it."""
import itertools

from harness import AgreementCase, main, peers
import test_methods

PAIR = peers("teacher=resnet8", "student=resnet8")
DML = {"name": "dml"}


class Forms(AgreementCase):
    """Every combination of what the student and the teacher do, with the default view and weights."""


def add_form(consensus, divergence):
    def test(self):
        self.agree(PAIR, DML, adm={"consensus": consensus, "divergence": divergence})
    setattr(Forms, f"test_{consensus}_{divergence}", test)


for form in itertools.product(("align", "modulate", "off"), ("repel", "modulate", "off")):
    add_form(*form)


class Defaults(AgreementCase):
    def test_an_empty_section(self):
        self.agree(PAIR, DML, adm={})


class Views(AgreementCase):
    """The vector views carry align and repel; the scalar ones only weigh places."""

    def test_class(self):
        self.agree(PAIR, DML, adm={"view": "class", "consensus": "modulate", "divergence": "repel"})

    def test_class_on_unequal_channels(self):
        self.agree(peers("teacher=wrn_16_2", "student=resnet8"), DML, adm={"consensus": "align", "divergence": "repel"})

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
        for weights in ("none", "uniform", "softmax"):
            for consensus, divergence in (("modulate", "modulate"), ("align", "repel")):
                with self.subTest(weights=weights, consensus=consensus):
                    self.agree(PAIR, DML, adm={"weights": weights, "tau": 0.3, "consensus": consensus,
                                               "divergence": divergence})


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
        self.agree(peers("teacher=resnet14", "student1=resnet8", "student2=wrn_16_1"), DML, adm={},
                   train={"lr": 0.002})

    def test_two_teachers_one_student(self):
        self.agree(peers("teacher1=resnet14", "teacher2=resnet8", "student=resnet8"), DML, adm={"divergence": "repel"})



class OverSwitokd(test_methods.Switokd):
    """A teacher that pauses gets no divergence term either."""

    LR = 0.0005  # networks that were taught nonsense have steep losses: rounding grows fast

    def switch(self, networks, start, **options):
        return super().switch(networks, start, adm={}, **options)

    def outcomes(self, expected, first):
        # ADM moves the networks further than what they were taught lasts; both outcomes are still there.
        for pair in range(len(first[0])):
            self.assertEqual({outcome[pair] for outcome in expected.outcomes}, {True, False})

    # The base class's other tests would only repeat themselves.
    test_pair_with_the_papers_criterion_and_other_options = None


if __name__ == "__main__":
    main()
