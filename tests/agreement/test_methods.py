"""Every base method against PyTorch: losses and updated weights over ten steps."""
from harness import BATCH, AgreementCase, main, peers, to_arrays
import torch

import models
import oracle

PAIR = peers("teacher=resnet14", "student=resnet8")


class Vanilla(AgreementCase):
    def test_resnets(self):
        self.agree(PAIR, {"name": "vanilla"})

    def test_wide_resnets(self):
        self.agree(peers("peer1=wrn_16_1", "peer2=wrn_16_2"), {"name": "vanilla"})

    def test_shortcuts_in_every_stage(self):
        self.agree(peers("peer=resnet8x4"), {"name": "vanilla"}, train={"batch": 4})

    def test_nesterov_learning_rates_and_label_smoothing(self):
        networks = peers("teacher=resnet14", "student=resnet8")
        networks[0]["lr_scale"] = 0.25
        self.agree(networks, {"name": "vanilla"}, train={"nesterov": True, "label_smoothing": 0.1, "momentum": 0.8,
                                                         "weight_decay": 0.01})


class SeveralBatchesToAStep(AgreementCase):
    """Batch norms see each batch by itself; a network that is frozen, slow or frozen in parts, and ADM, go along."""

    steps = 7  # where epochs matter, the seventh is in the second

    def test_peers_with_adm_and_layers(self):
        networks = peers("teacher=resnet14", "student=resnet8")
        networks[0]["layers"] = {"conv1": "frozen", "bn1": "frozen", "layer1": 0.5}
        networks[1]["lr_scale"] = 0.5
        self.agree(networks, {"name": "dml"}, adm={}, train={"accumulate": 3, "batch": 8})

    def test_a_frozen_teacher_and_a_group_that_is_left_out(self):
        networks = peers("teacher=resnet14", "student=resnet8")
        networks[0]["frozen"] = True
        self.agree(networks, {"name": "kd", "warmup_epochs": 3}, train={"accumulate": 2, "epochs": 5}, images=80)

    def test_per_epoch_values(self):
        self.agree(PAIR, {"name": "kdcl", "target": "general"}, data={"validation": 32}, images=128, train={"accumulate": 2, "batch": 8})


class ClassWeights(AgreementCase):
    steps = 5
    WEIGHTS = {"class_weights": [0.25 * (c % 7) for c in range(100)]}  # some are 0

    def test_with_label_smoothing_and_several_batches_to_a_step(self):
        self.agree(PAIR, {"name": "vanilla"}, task=self.WEIGHTS, train={"label_smoothing": 0.1, "accumulate": 2, "batch": 8})

    def test_what_networks_learn_from_each_other_has_no_weights(self):
        self.agree(PAIR, {"name": "dml"}, adm={}, task=self.WEIGHTS)
        self.agree(PAIR, {"name": "kdcl", "target": "naive"}, adm={"consensus": "modulate"}, task=self.WEIGHTS)


class Layers(AgreementCase):
    def test_rates_of_their_own_and_frozen_ones(self):
        networks = peers("teacher=resnet14", "student=resnet8")
        networks[0]["layers"] = {"conv1": "frozen", "bn1": "frozen", "layer1": "frozen", "layer1.1": 0.5, "fc": 4}
        networks[1].update(lr_scale=0.5, layers={"layer2": "frozen", "layer3.0.bn2.bias": 0, "fc.bias": 10})
        self.agree(networks, {"name": "dml"}, adm={})


class Kd(AgreementCase):
    def frozen(self, students=1):
        networks = peers("teacher=resnet14", *[f"student{i}=resnet8" for i in range(1, students + 1)])
        networks[0]["frozen"] = True
        return networks

    def test_one_student(self):
        self.agree(self.frozen(), {"name": "kd"})

    def test_two_students_and_other_options(self):
        self.agree(self.frozen(2), {"name": "kd", "temperature": 2.5, "alpha": 0.3, "warmup_epochs": 3}, images=80)


class Dml(AgreementCase):
    def test_pair(self):
        self.agree(PAIR, {"name": "dml"})

    def test_temperature_weight_and_warmup(self):
        # 5 steps an epoch: two epochs, so that the ramp moves
        self.agree(PAIR, {"name": "dml", "temperature": 3, "weight": 0.5, "warmup_epochs": 3}, images=80)

    def test_three_peers_mean(self):
        self.agree(peers("peer1=resnet8", "peer2=resnet14", "peer3=wrn_16_1"), {"name": "dml"})

    def test_three_peers_sum(self):
        self.agree(peers("peer1=resnet8", "peer2=resnet14", "peer3=resnet8"), {"name": "dml", "peers": "sum"})


class Kdcl(AgreementCase):
    def test_naive(self):
        self.agree(PAIR, {"name": "kdcl", "target": "naive"})

    def test_linear(self):
        self.agree(PAIR, {"name": "kdcl", "target": "linear"})

    def test_minlogit_is_the_default(self):
        self.agree(PAIR, {"name": "kdcl"})

    def test_mean_with_shared_views(self):
        self.agree(PAIR, {"name": "kdcl", "target": "mean", "temperature": 4, "weight": 0.5}, data={"views": "shared"})

    def test_general_is_recomputed_each_epoch(self):
        self.agree(PAIR, {"name": "kdcl", "target": "general"}, data={"validation": 32}, images=128)

    def test_three_networks(self):
        three = peers("peer1=resnet8", "peer2=resnet14", "peer3=resnet8")
        for target in ("naive", "minlogit", "general"):
            with self.subTest(target=target):
                data = {"validation": 32} if target == "general" else {}
                self.agree(three, {"name": "kdcl", "target": target, "warmup_epochs": 2}, data=data)

    def test_linear_of_three(self):
        self.agree(peers("peer1=resnet8", "peer2=resnet14", "peer3=resnet8"), {"name": "kdcl", "target": "linear"})


class Taught:
    """SwitOKD's switch needs both outcomes, and not by a hair. So networks are first taught, batch by batch, what makes it
    fall one way or the other (s, u: how far student and teacher are from the truth; the gap between them is s - u plus twice
    what the teacher puts on wrong classes beyond the student):

        f  right, with one favourite among the wrong classes: against an undecided student a wide gap, the teacher pauses
        w  wrong: where the student is right, u > s, and the teacher learns under the code's criterion; where the student
           says the same there is no gap either, and it learns under both
        r  right and sure of it: a student ahead of its teacher, u > s
        u  undecided
    """

    IMAGES = 5 * BATCH
    taught = {}

    @staticmethod
    def target(kind, y):
        hot = torch.nn.functional.one_hot(y, 100).float()
        if kind == "w":
            return hot.roll(50, dims=1)
        if kind == "u":
            return torch.full_like(hot, 0.01)
        return 0.8 * hot + 0.2 * hot.roll(30, dims=1) if kind == "f" else hot

    def teach(self, model, seed, kinds):
        """Weights of a network that was taught one kind a batch."""
        key = model, seed, kinds
        if key not in self.taught:
            _, pixels, labels = self.data_of(self.IMAGES)
            x, y = oracle.normalise(pixels).float().split(BATCH), torch.from_numpy(labels).split(BATCH)
            net = models.build(model, seed=seed)
            optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
            for k in range(14 * len(kinds)):
                batch = k % len(kinds)
                log_p = torch.log_softmax(net(x[batch])[0], dim=1)
                optimiser.zero_grad()
                (-(self.target(kinds[batch], y[batch]) * log_p).sum(dim=1).mean()).backward()
                optimiser.step()
            self.taught[key] = to_arrays(net)
        return self.taught[key]


class Switokd(Taught, AgreementCase):
    def switch(self, networks, start, adm=None, **options):
        start = {**start, "student": self.teach("resnet8", 2, "ufwuu"), "student1": self.teach("resnet8", 2, "ufwuu")}
        return self.agree(networks, {"name": "switokd", **options}, adm=adm, start=start, images=self.IMAGES)

    def outcomes(self, found, first):
        """Of the first pass, before the students have moved far: what was planned."""
        self.assertEqual(found[:5], first)

    def test_pair(self):
        start = {"teacher": self.teach("resnet8", 1, "fwwfu")}
        found = self.switch(peers("teacher=resnet8", "student=resnet8"), start)
        self.outcomes(found, [(True,), (False,), (False,), (True,), (False,)])

    def test_pair_with_the_papers_criterion_and_other_options(self):
        start = {"teacher": self.teach("resnet8", 1, "fwwfu")}
        found = self.switch(peers("teacher=resnet8", "student=resnet8"), start, criterion="paper", temperature=2,
                               t_squared=True, pause_statistics=True, warmup_epochs=3)
        self.outcomes(found, [(True,), (True,), (False,), (True,), (False,)])

    def test_one_teacher_two_students(self):
        networks = peers("teacher=resnet8", "student1=resnet8", "student2=resnet8")
        start = {"teacher": self.teach("resnet8", 1, "fwwfu"), "student2": self.teach("resnet8", 3, "rfwuu")}
        found = self.switch(networks, start)
        self.outcomes(found, [(True, False), (False, False), (False, False), (True, True), (False, False)])

    def test_two_teachers_one_student(self):
        networks = peers("teacher1=resnet8", "teacher2=resnet8", "student=resnet8")
        start = {"teacher1": self.teach("resnet8", 1, "fwwfu"), "teacher2": self.teach("resnet8", 4, "ffwuf")}
        found = self.switch(networks, start)
        self.outcomes(found, [(True, True), (False, False), (False, False), (True, False), (False, True)])


if __name__ == "__main__":
    main()
