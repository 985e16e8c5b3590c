"""The dense tasks' oracle against itself, against torch's own functions and against numbers known beforehand: identities
that must hold, so that a mistake in the oracle is not copied into duet. Needs no duet."""
import math
import unittest

from harness import np, torch
from torch.nn import functional as F

import dense_diffusion as diffusion
import dense_measures as measures
import dense_models
import dense_oracle as oracle
import philox

IGNORE = oracle.IGNORE
REAL = torch.float64


class Counts(unittest.TestCase):
    SMALL = [n for n, (parameters, *_) in dense_models.COUNTS.items() if parameters < 2e6]
    # A family's large members differ from these by numbers only, and by a second each.
    LARGE = "pspnet_resnet18", "deeplabv3_resnet18", "unet_c64"

    def test_parameters(self):
        for name in (*self.SMALL, *self.LARGE):
            with self.subTest(network=name):
                net = dense_models.build(name)
                aux = sum(p.numel() for key, p in net.named_parameters() if key.startswith("aux"))
                self.assertEqual((sum(p.numel() for p in net.parameters()), aux), dense_models.COUNTS[name][:2])

    def test_multiply_adds(self):
        for name in ("seg8", "seg8x2", "unet_c8", "unet_c16d2"):
            with self.subTest(network=name):
                x = torch.zeros(1, 3, *dense_models.COUNTS[name][2])
                time = (torch.zeros(1, dtype=torch.long),) if name.startswith("unet") else ()
                self.assertEqual(dense_models.multiply_adds(dense_models.build(name).eval(), x, *time),
                                 dense_models.COUNTS[name][3])

    def test_maps(self):
        maps = dense_models.build("seg8x2").eval()(torch.zeros(1, 3, 64, 64))
        self.assertEqual((maps.features.shape, maps.output.shape), ((1, 64, 16, 16), (1, 11, 16, 16)))
        maps = dense_models.build("deeplabv3_resnet18").eval()(torch.zeros(1, 3, 65, 97))
        self.assertEqual((maps.features.shape, maps.aux.shape), ((1, 128, 9, 13), (1, 19, 9, 13)))

    def test_the_first_losses(self):
        net = dense_models.build("seg8", seed=1)
        z = net(torch.randn(4, 3, 64, 64)).output
        self.assertAlmostEqual(float(F.cross_entropy(z, torch.randint(0, 11, (4, 16, 16)))), math.log(11), delta=0.03)
        e = dense_models.build("unet_c8", seed=1)(torch.randn(2, 3, 32, 32), torch.tensor([5, 900])).output
        self.assertLess(float(e.abs().max()), 1e-3)

    def test_time_embedding(self):
        e = dense_models.time_embedding(torch.tensor([0, 7]), 8)
        self.assertEqual(e[0].tolist(), [0, 0, 0, 0, 1, 1, 1, 1])
        for j in range(4):
            self.assertAlmostEqual(float(e[1, j]), math.sin(7 * 10000 ** (-j / 3)))
            self.assertAlmostEqual(float(e[1, 4 + j]), math.cos(7 * 10000 ** (-j / 3)))


class Net:
    """Just enough of a network for a step: the flag and the last convolution."""

    def __init__(self, channels, classes, align):
        self.align, self.conv = align, torch.nn.Conv2d(channels, classes, 1)
        self.conv.double()

    def last(self):
        return self.conv


PAIR = [{"name": "teacher", "role": "teacher"}, {"name": "student", "role": "student"}]
DEFAULT = {"consensus": "modulate", "divergence": "modulate", "weights": "mean", "tau": 0.1, "patch": 4}


def segment_pair(y, align=False, sizes=((6, 6), (6, 6)), seed=0, channels=(5, 5), **options):
    torch.manual_seed(seed)
    nets = [Net(c, 7, align) for c in channels]
    maps = []
    for net, size, c in zip(nets, sizes, channels):
        f = (0.1 + torch.randn(len(y), c, *size, dtype=REAL).relu()).requires_grad_()  # no vector of zeros
        maps.append(dense_models.Maps(2 * net.conv(f), f, None))
    return oracle.SegmentStep(PAIR, nets, maps, 0, y, **options)


def some_masks(n=2, height=24, width=20, seed=3):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 7, (n, height, width), generator=generator)
    y[:, :5, :9] = IGNORE
    y[:, 14, ::2] = IGNORE
    return y


def denoise_pair(seed=0):
    torch.manual_seed(seed)
    e = [torch.randn(3, 3, 16, 16, dtype=REAL, requires_grad=True) for _ in range(2)]
    maps = [dense_models.Maps(x, torch.randn(3, 4, 16, 16, dtype=REAL), None) for x in e]
    return oracle.DenoiseStep(PAIR, [None, None], maps, 0, torch.randn(3, 3, 16, 16, dtype=REAL))


class Close(unittest.TestCase):
    def close(self, a, b, delta=1e-12):
        self.assertAlmostEqual(float(a), float(b), delta=delta)


class SegmentLosses(Close):
    def test_loss_is_torchs_with_ignore_index(self):
        y = some_masks()
        for align in (False, True):
            step = segment_pair(y, align)
            z = F.interpolate(step.output[1], y.shape[1:], mode="bilinear", align_corners=align)
            self.close(step.loss(1), F.cross_entropy(z, y, ignore_index=IGNORE))

    def test_nothing_known_is_a_loss_of_zero_with_gradients_of_zero(self):
        step = segment_pair(torch.full((2, 24, 20), IGNORE))
        losses, _ = oracle.METHODS["dml"](step)
        losses = oracle.add_adm(step, losses)
        for i, loss in losses.items():
            self.close(loss, 0)
            (gradient,) = torch.autograd.grad(loss, [step.features[i]], retain_graph=True)
            self.assertFalse(gradient.any())
        self.assertEqual(oracle.METHODS["switokd"](step)[1], (False,))

    def test_what_is_said_where_nothing_is_known_changes_nothing(self):
        y = some_masks()
        dead = F.adaptive_avg_pool2d((y != IGNORE).double()[:, None], (6, 6)) == 0
        self.assertTrue(dead.any())
        a, b = segment_pair(y), segment_pair(y)
        b.output[1] = torch.where(dead, b.output[1] + torch.randn(1, 7, 1, 1), b.output[1])
        self.close(a.disagreement(0, 1, 2.0), b.disagreement(0, 1, 2.0))
        self.close(a.disagreement(1, 0, 2.0), b.disagreement(1, 0, 2.0))

    def test_disagreement_with_oneself_is_zero(self):
        for where in ("grid", "pixels"):
            self.close(segment_pair(some_masks(), kd_at=where).disagreement(1, 1, 3.0), 0)

    def test_disagreement_on_full_masks_is_torchs_over_rows(self):
        y = some_masks().clamp_max(6)
        for places in ("valid", "all"):
            step = segment_pair(y, kd_places=places)
            own, target = (F.log_softmax(z.permute(0, 2, 3, 1).reshape(-1, 7) / 2, dim=1) for z in step.output[::-1])
            self.close(step.disagreement(0, 1, 2.0), 4 * F.kl_div(own, target, reduction="batchmean", log_target=True))

    def test_distance_from_the_truth(self):
        y = some_masks()
        step = segment_pair(y)
        s, u, gap = step.distances(0, 1)
        p = F.softmax(step.up(step.output[1], 1), dim=1).permute(0, 2, 3, 1)[y != IGNORE]
        self.close(s, 2 * (1 - p.gather(1, y[y != IGNORE][:, None])).mean())
        self.assertLessEqual(gap, s + u)

    def test_targets_of_equal_networks_are_those_networks(self):
        y = some_masks()
        for target in ("mean", "naive", "linear"):
            step = segment_pair(y, kd_at="pixels")
            step.output[0] = step.output[1].detach()
            self.close(step.ensemble(target, 1, 2.0), 0)

    def test_the_best_network_of_a_pixel_is_its_target(self):
        y = some_masks()
        step = segment_pair(y, sizes=((24, 20), (24, 20)), kd_at="pixels")
        onehot = F.one_hot(y.clamp_max(6), 7).permute(0, 3, 1, 2).double()
        step.output[0] = 9 * onehot
        self.close(step.ensemble("naive", 1, 1.0), step.disagreement(0, 1, 1.0))

    def test_the_linear_target_of_a_right_and_a_wrong_network_is_the_right_one(self):
        y = some_masks()
        step = segment_pair(y, sizes=((24, 20), (24, 20)), kd_at="pixels")
        onehot = F.one_hot(y.clamp_max(6), 7).permute(0, 3, 1, 2).double()
        step.output[0], step.output[1] = 3 * onehot, -3 * onehot
        self.close(step.ensemble("linear", 1, 1.0), step.disagreement(0, 1, 1.0), 1e-9)


class SegmentAdm(Close):
    def pair(self, step, given=None, view="class", **options):
        return oracle.adm_pair(step, 0, 1, view=view, given=given, **{**DEFAULT, **options})

    def test_agreement_everywhere_nowhere_and_in_part(self):
        y = some_masks()
        for align in (False, True):
            step = segment_pair(y, align)
            task = [float(step.loss(i)) for i in (0, 1)]
            ones = torch.ones(2, 6, 6, dtype=REAL)
            for s, co, di in ((1, task[1], 0), (0, task[1], task[0]), (0.37, task[1], task[0])):
                found = self.pair(step, s * ones)
                self.close(found[0], co)
                self.close(found[1], di)

    def test_uniform_weights_are_the_task_loss(self):
        step = segment_pair(some_masks())
        co, di = self.pair(step, weights="uniform")
        self.close(co, step.loss(1))
        self.close(di, step.loss(0))

    def test_identical_networks_have_nothing_to_align_or_to_repel(self):
        step = segment_pair(some_masks())
        step.features[0], step.nets[0] = step.features[1], step.nets[1]
        co, di = self.pair(step, consensus="align", divergence="repel")
        self.close(co, 0)
        self.close(di, 0)

    def test_order_of_one_networks_channels(self):
        order = torch.tensor([2, 0, 4, 1, 3])
        for consensus, divergence in (("align", "repel"), ("modulate", "modulate")):
            step = segment_pair(some_masks())
            before = self.pair(step, consensus=consensus, divergence=divergence)
            step.features[1] = step.features[1][:, order]
            step.nets[1].conv.weight.data = step.nets[1].conv.weight.data[:, order]
            after = self.pair(step, consensus=consensus, divergence=divergence)
            for a, b in zip(before, after):
                self.close(a, b)

    def test_order_of_both_networks_channels_in_the_channel_view(self):
        order = torch.tensor([2, 0, 4, 1, 3])
        step = segment_pair(some_masks())
        before = self.pair(step, view="channel", consensus="align", divergence="repel")
        step.features = [f[:, order] for f in step.features]
        for a, b in zip(before, self.pair(step, view="channel", consensus="align", divergence="repel")):
            self.close(a, b)

    def test_an_image_without_labels_counts_nothing(self):
        y = some_masks()
        y[0] = IGNORE
        for consensus, divergence in (("align", "repel"), ("modulate", "modulate")):
            for weights in ("mean", "softmax", "none", "uniform"):
                both, one = segment_pair(y), segment_pair(y)
                one.y, one.valid = y[1:], one.valid[1:]
                one.output, one.features = ([m[1:] for m in maps] for maps in (one.output, one.features))
                options = {"consensus": consensus, "divergence": divergence, "weights": weights}
                for a, b in zip(self.pair(both, **options), self.pair(one, **options)):
                    self.close(a, b)

    def test_weights_have_mean_one_over_what_is_known(self):
        y = some_masks()
        step = segment_pair(y)
        s = torch.rand(2, 24, 20, dtype=REAL)
        for kind in ("mean", "softmax", "uniform"):
            for w in oracle.place_weights(kind, s, step.valid, 0.2):
                mean = (w * step.valid).sum(dim=(1, 2)) / step.valid.sum(dim=(1, 2))
                self.assertTrue(torch.allclose(mean, torch.ones(2, dtype=REAL)))

    def test_no_gradient_reaches_the_other_network(self):
        step = segment_pair(some_masks(), sizes=((6, 6), (4, 3)))
        for forms in (("align", "repel"), ("modulate", "modulate")):
            losses = self.pair(step, consensus=forms[0], divergence=forms[1])
            for loss, stranger, own in zip(losses, (0, 1), (1, 0)):
                found = torch.autograd.grad(loss, [step.features[stranger], step.features[own]], retain_graph=True,
                                            allow_unused=True)
                self.assertTrue(found[0] is None or not found[0].any())
                self.assertTrue(found[1].any())

    def test_no_strength_is_no_companion(self):
        step = segment_pair(some_masks())
        base, _ = oracle.METHODS["dml"](step)
        with_adm = oracle.add_adm(step, dict(base), alpha=0, beta=0)
        self.assertEqual([float(base[i]) for i in (0, 1)], [float(with_adm[i]) for i in (0, 1)])


class Denoise(Close):
    def pair(self, step, given=None, view="output", **options):
        return oracle.adm_pair(step, 0, 1, view=view, given=given, **{**DEFAULT, **options})

    def test_agreement_everywhere_nowhere_and_in_part(self):
        step = denoise_pair()
        task = [float(step.loss(i)) for i in (0, 1)]
        ones = torch.ones(3, 4, 4, dtype=REAL)
        for s, co, di in ((1, task[1], 0), (0, task[1], task[0]), (0.37, task[1], task[0])):
            found = self.pair(step, s * ones)
            self.close(found[0], co)
            self.close(found[1], di)

    def test_identical_networks_have_nothing_to_align_or_to_repel(self):
        step = denoise_pair()
        step.output[0], step.features[0] = step.output[1], step.features[1]
        for view in ("output", "channel"):
            for term in self.pair(step, view=view, consensus="align", divergence="repel"):
                self.close(term, 0)

    def test_patches_are_blocks(self):
        x = torch.arange(2 * 3 * 8 * 12, dtype=REAL).view(2, 3, 8, 12)
        u = oracle.patches(x, 4)
        self.assertEqual(u.shape, (2, 48, 2, 3))
        self.assertEqual(sorted(u[1, :, 1, 2].tolist()), sorted(x[1, :, 4:, 8:].flatten().tolist()))

    def test_two_losses_are_one_to_a_mixed_target(self):
        step, w = denoise_pair(), 0.7
        (a,) = torch.autograd.grad(step.loss(1) + w * step.disagreement(0, 1), [step.output[1]])
        mixed = (step.eps + w * step.output[0].detach()) / (1 + w)
        (b,) = torch.autograd.grad((1 + w) * (step.output[1] - mixed).pow(2).mean(), [step.output[1]])
        self.assertTrue(torch.allclose(a, b, rtol=0, atol=1e-15))

    def test_the_best_mixture_of_two(self):
        step = denoise_pair()
        r1, r2 = step.errors()
        a = oracle.two_weights(r1, r2)
        self.assertTrue(0 < a < 1)
        best = (a * r1 + (1 - a) * r2).pow(2).sum()
        for b in (a - 1e-3, a + 1e-3):
            self.assertLess(best, (b * r1 + (1 - b) * r2).pow(2).sum())
        self.assertEqual(oracle.two_weights(r1, r1), 0.5)
        self.assertEqual(oracle.two_weights(r1, 3 * r1), 1.0)
        self.assertEqual(oracle.two_weights(-4 * r1, r1), 0.2)

    def test_the_best_network_of_a_sample_is_its_target(self):
        step = denoise_pair()
        step.output[0] = torch.cat([step.eps[:1], 5 * step.eps[1:]])
        wanted = torch.cat([step.output[0][:1], step.output[1][1:].detach()])
        self.close(step.ensemble("naive", 0, 1), (step.output[0] - wanted).pow(2).mean())

    def test_a_perfect_network_has_all_the_weight(self):
        step = denoise_pair()
        r = step.errors()
        self.assertGreater(float(oracle.error_weights([1e-6 * r[0], r[1]])[0]), 0.999)


class Training(Close):
    def test_poly_falls_to_zero_by_step(self):
        settings = {"lr": 0.02, "steps": 40, "schedule": {"name": "poly", "power": 0.9}}
        self.assertEqual(oracle.learning_rate(settings, 0, 7), 0.02)
        self.close(oracle.learning_rate(settings, 39, 7), 0.02 * 0.025**0.9)

    def test_clipping_is_of_the_whole_network(self):
        found, length = oracle.clip([torch.full((2,), 3.0), torch.full((2, 2), 4.0)], 1.0)
        self.close(length, math.sqrt(18 + 64))
        self.close(sum(float(g.pow(2).sum()) for g in found), 1, 1e-6)
        self.assertEqual(oracle.clip([torch.ones(1)], 1.0)[0][0].tolist(), [1.0])

    def test_the_average_follows_quickly_at_first(self):
        net = torch.nn.Linear(1, 1)
        start = {k: torch.zeros_like(v).double() for k, v in net.state_dict().items()}
        ema = dict(start)
        oracle.follow(ema, net, 0.9, 0)
        self.close(ema["weight"], 0.9 * float(net.weight), 1e-7)
        for k in range(1, 200):
            oracle.follow(ema, net, 0.9, k)
        self.close(ema["weight"], net.weight, 1e-6)


class Diffusion(Close):
    def test_known_values(self):
        for kind, wanted in (("linear", (0.9999, 0.078587243, 4.035829765e-5)),
                             ("cosine", (0.999958716, 0.493843590, 2.428766907e-9))):
            ab = diffusion.signal(kind, 1000)
            for found, value in zip(ab[[0, 499, 999]], wanted):
                self.assertAlmostEqual(found / value, 1, delta=1e-8)

    def test_samplers(self):
        rng = np.random.default_rng(1)
        x0, e, z = rng.uniform(-1, 1, (2, 3, 4, 4)), rng.normal(size=(2, 3, 4, 4)), rng.normal(size=(2, 3, 4, 4))
        ab = diffusion.signal("cosine", 1000)
        a, later = ab[500], ab[480]
        x = diffusion.noised(x0, [500, 500], e, ab)
        self.assertTrue(np.allclose(diffusion.ddim(x, e, a, later, z, 0), diffusion.noised(x0, [480, 480], e, ab)))
        wrong = e + 0.3 * rng.normal(size=e.shape)  # clamped here and there
        self.assertTrue(np.allclose(diffusion.ddim(x, wrong, a, later, z, 1),
                                    diffusion.ancestral(x, wrong, a, later, z, "small")))
        for last in (diffusion.ddim(x, e, a, 1.0, z, 1), diffusion.ancestral(x, e, a, 1.0, z, "large")):
            self.assertTrue(np.allclose(last, x0))

    def test_times(self):
        self.assertEqual(diffusion.times(1000, 5), [0, 250, 500, 749, 999])  # 499.5 and 249.75: halves to even
        self.assertEqual(diffusion.times(1000, 1000), list(range(1000)))
        self.assertEqual(diffusion.validation_times(4, 1000), [0, 250, 500, 750])

    def test_a_sampler_that_is_told_the_noise_returns_the_picture(self):
        rng = np.random.default_rng(2)
        x0, ab = rng.uniform(-1, 1, (1, 3, 4, 4)), diffusion.signal("linear", 1000)

        def predict(x, t):
            return (x - math.sqrt(ab[t]) * x0) / math.sqrt(1 - ab[t])

        for options in ({"eta": 0}, {"eta": 0.5}, {"variance": "large"}, {"variance": "small"}):
            x = diffusion.sample(predict, rng.normal(size=x0.shape), ab, 20, lambda _: rng.normal(size=x0.shape), **options)
            self.assertTrue(np.allclose(x, x0))

    def test_bins(self):
        loss, bins = diffusion.validation_loss(np.arange(20.0), 1000)
        self.assertEqual((loss, bins), (9.5, [2 * b + 0.5 for b in range(10)]))

    def test_bytes(self):
        self.assertEqual(diffusion.to_bytes([-1, 1, 0, -1.2, 7]).tolist(), [0, 255, 128, 0, 255])


class Measures(Close):
    def test_a_small_confusion(self):
        m = measures.confusion(np.array([0, 1, 1, 0]), np.array([0, 1, 0, IGNORE]), 3)
        found = measures.scores(m)
        self.assertEqual(m.tolist(), [[1, 1, 0], [0, 1, 0], [0, 0, 0]])
        self.assertEqual((found["miou"], found["accuracy"], found["absent"]), (0.5, 2 / 3, 1))

    def test_calibration(self):
        p = np.array([[0.8] * 10, [0.2] * 10])
        self.close(measures.calibration_error(p, np.array([0] * 8 + [1] * 2)), 0)
        self.close(measures.calibration_error(p, np.array([0] * 3 + [1] * 2 + [IGNORE] * 5)), 0.2)

    def test_frechet(self):
        rng = np.random.default_rng(3)
        z, d1, d2 = np.zeros(6), rng.uniform(size=6), rng.uniform(size=6)
        self.close(measures.frechet(z, np.diag(d1), z + 1, np.diag(d2)), 6 + ((d1**0.5 - d2**0.5) ** 2).sum())
        few = measures.moments(rng.normal(size=(10, 40)))
        self.close(measures.frechet(*few, *few), 0, 1e-11)
        a, b = measures.moments(rng.normal(size=(90, 8))), measures.moments(rng.normal(1, 2, size=(70, 8)))
        product = np.linalg.eigvals(a[1] @ b[1]).real
        self.close(measures.frechet(*a, *b), ((a[0] - b[0]) ** 2).sum() + np.trace(a[1]) + np.trace(b[1])
                   - 2 * np.sqrt(product).sum(), 1e-9)


class RandomNumbers(Close):
    def test_published_vectors(self):
        """Of the authors' Random123 1.14, kat_vectors: philox4x32 10."""
        ones = [0xFFFFFFFF] * 4
        pi = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]
        for counter, key, wanted in (
                ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
                (ones, ones[:2], [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
                (pi, [0xA4093822, 0x299F31D0], [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1])):
            found = philox.philox(key, np.array([counter], dtype=np.uint32))[0]
            self.assertEqual([hex(w) for w in found], [hex(w) for w in wanted])

    def test_moments(self):
        z = philox.normals(20000, 7, philox.INIT, 0, 3).astype(np.float64)
        self.close(z.mean(), 0, 0.03)
        self.close(z.std(), 1, 0.03)
        t = [philox.below(1000, 7, philox.INIT, 0, k) for k in range(500)]
        self.assertTrue(0 <= min(t) < 20 and 980 <= max(t) < 1000)
        self.close(np.mean(t), 500, 50)


if __name__ == "__main__":
    unittest.main()
