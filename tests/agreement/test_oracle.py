"""The oracle against itself and against torch's own functions: identities that must hold, so that a mistake in the
oracle is not copied into duet. Needs no duet."""
import unittest

from harness import torch
import models
import oracle
from torch.nn import functional as F

torch.manual_seed(0)
Z = [torch.randn(6, 10, dtype=torch.float64) * 2 for _ in range(3)]
Y = torch.randint(0, 10, (6,))


class Losses(unittest.TestCase):
    def test_cross_entropy_is_torchs(self):
        self.assertAlmostEqual(float(oracle.cross_entropy(Z[0], Y)), float(F.cross_entropy(Z[0], Y)))
        self.assertAlmostEqual(float(oracle.smoothed_cross_entropy(Z[0], Y, 0.1)),
                               float(F.cross_entropy(Z[0], Y, label_smoothing=0.1)))

    def test_kl_is_torchs_with_batchmean(self):
        wanted = F.kl_div(F.log_softmax(Z[0] / 3, 1), F.log_softmax(Z[1] / 3, 1), reduction="batchmean", log_target=True)
        self.assertAlmostEqual(float(oracle.kl_to(Z[1], Z[0], 3.0)), float(wanted))

    def test_simplex_minimum_of_three_beats_every_corner_and_neighbour(self):
        a = torch.tensor(oracle.simplex_minimum(Z, Y), dtype=torch.float64)
        best = oracle.cross_entropy(sum(a[i] * Z[i] for i in range(3)), Y)
        self.assertAlmostEqual(float(a.sum()), 1)
        for _ in range(200):
            other = oracle.project_to_simplex(a + 0.1 * torch.randn(3, dtype=torch.float64))
            self.assertGreaterEqual(float(oracle.cross_entropy(sum(other[i] * Z[i] for i in range(3)), Y)),
                                    float(best) - 1e-12)

    def test_simplex_minimum_of_two_agrees_with_that_of_three_where_one_is_useless(self):
        useless = -20 * F.one_hot(Y, 10).double()
        two = oracle.simplex_minimum(Z[:2], Y)
        three = oracle.simplex_minimum([*Z[:2], useless], Y)
        self.assertAlmostEqual(two[0], three[0], places=4)
        self.assertAlmostEqual(three[2], 0, places=9)

    def test_general_weights_of_a_perfect_network(self):
        perfect = 50 * F.one_hot(Y, 10).double()
        w = oracle.general_weights([perfect, Z[0]], Y)
        self.assertGreater(float(w[0]), 0.99)

    def test_switch(self):
        # The gap is s - u plus twice what the teacher puts on wrong classes beyond the student: without a favourite among the
        # wrong classes it never pauses.
        good = (6 * F.one_hot(Y, 10) + 4 * F.one_hot((Y + 1) % 10, 10)).double()
        bad = torch.zeros(6, 10, dtype=torch.float64)
        self.assertFalse(oracle.is_expert(6 * F.one_hot(Y, 10).double(), bad, Y, "code"))
        self.assertTrue(oracle.is_expert(good, bad, Y, "code"))
        self.assertFalse(oracle.is_expert(bad, good, Y, "code"))
        self.assertFalse(oracle.is_expert(bad, bad, Y, "paper"))


class Adm(unittest.TestCase):
    def setUp(self):
        self.net = models.build("resnet8", seed=1).double().train()
        self.x = torch.randn(4, 3, 32, 32, dtype=torch.float64)
        self.y = torch.tensor([3, 1, 4, 1])
        self.logits, taps = self.net(self.x)
        self.f = taps["features"]
        self.other = models.build("resnet14", seed=2).double().train()
        self.g = self.other(self.x)[1]["features"]

    def pair(self, f_t, f_s, t=None, s=None, **options):
        options = {"consensus": "modulate", "divergence": "modulate", "view": "class", "weights": "mean", "tau": 0.1,
                   "detach": True, **options}
        return oracle.adm_pair(t or self.net, s or self.net, f_t, f_s, self.y, **options)

    def test_full_agreement_gives_the_cross_entropy_and_no_divergence(self):
        co, di = self.pair(self.f, self.f)
        self.assertAlmostEqual(float(co), float(F.cross_entropy(self.logits, self.y)))
        self.assertEqual(float(di), 0)

    def test_uniform_modulation_is_the_cross_entropy(self):
        co, di = self.pair(self.g, self.f, t=self.other, weights="uniform")
        self.assertAlmostEqual(float(co), float(F.cross_entropy(self.logits, self.y)))

    def test_order_of_channels_does_not_matter_to_the_class_view(self):
        order = torch.randperm(64)
        before = self.pair(self.g, self.f, t=self.other, consensus="align", divergence="repel")
        self.net.fc.weight.data = self.net.fc.weight.data[:, order]
        after = self.pair(self.g, self.f[:, order], t=self.other, consensus="align", divergence="repel")
        for a, b in zip(before, after):
            self.assertAlmostEqual(float(a), float(b))

    def test_no_gradient_reaches_the_other_network(self):
        co, di = self.pair(self.g, self.f, t=self.other, consensus="align", divergence="repel")
        for loss, stranger in ((co, self.other), (di, self.net)):
            grads = torch.autograd.grad(loss, list(stranger.parameters()), retain_graph=True, allow_unused=True)
            self.assertTrue(all(g is None or not g.any() for g in grads))

    def test_weights_have_mean_one(self):
        s = torch.rand(5, 4, 4, dtype=torch.float64)
        for kind in ("mean", "softmax", "uniform"):
            for w in oracle.place_weights(kind, s, 0.2):
                self.assertTrue(torch.allclose(w.mean(dim=(1, 2)), torch.ones(5, dtype=torch.float64)))


if __name__ == "__main__":
    unittest.main()
