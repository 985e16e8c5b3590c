"""What bench/torch_step.py measures is the same work: its losses and their gradients against the oracle's."""
import sys
import unittest
from pathlib import Path

from dense_harness import dense_models, oracle as dense_oracle, torch, worn
from harness import main, models, oracle, peers

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
import torch_losses  # noqa: E402

CLASSES = 7


def networks_of(make, *names):
    torch.manual_seed(1)
    return [worn(make(name, CLASSES)).eval() for name in names]  # in training dropout would draw


def pictures(n, size):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(2))


class Rival(unittest.TestCase):
    def agree(self, nets, found, wanted):
        """Each network's loss, and what the sum of them moves in it."""
        for i, net in enumerate(nets):
            self.assertAlmostEqual(found[i].item(), wanted[i].item(), delta=1e-5 * abs(wanted[i].item()))
            parameters = [p for p in net.parameters() if p.requires_grad]
            own = torch.autograd.grad(sum(found), parameters, retain_graph=True)
            due = torch.autograd.grad(wanted[i], parameters, retain_graph=True)
            error = sum((a - b).square().sum() for a, b in zip(own, due)).sqrt()
            self.assertLess(error, 1e-4 * sum(b.square().sum() for b in due).sqrt())

    def both(self, task, make, names, batch, wanted_of):
        for adm in (False, True):
            with self.subTest(adm=adm):
                nets = networks_of(make, *names)
                self.agree(nets, getattr(torch_losses, task)(nets, batch, adm), wanted_of(nets, adm))

    def test_classify(self):
        self.classify("teacher=resnet14", "student=resnet8")

    def test_classify_on_unequal_grids(self):
        self.classify("teacher=resnet8", "student=shufflenet_v1")
        self.classify("teacher=mobilenet_half", "student1=resnet8", "student2=vgg8")

    def classify(self, *words):
        x, y = pictures(6, 32), torch.tensor([0, 6, 2, 2, 5, 1])
        networks = peers(*words)

        def wanted(nets, adm):
            logits, taps = zip(*(net(x) for net in nets))
            step = oracle.Step(networks, [z.double() for z in logits], taps, y, 0)
            losses, _ = oracle.dml(step)
            return oracle.add_adm(step, nets, losses) if adm else losses

        self.both("classify", models.build, [n["model"] for n in networks], (x, y), wanted)

    def dense(self, task, names, batch):
        recipe = {"task": {"name": task}, "networks": peers(f"teacher={names[0]}", f"student={names[1]}")}

        def wanted(nets, adm):
            step = dense_oracle.make_step(recipe, nets, batch, 0)
            losses, _ = dense_oracle.dml(step)
            return dense_oracle.add_adm(step, losses) if adm else losses

        self.both(task, dense_models.build, names, batch, wanted)

    def test_segment(self):
        x, y = pictures(3, 40), torch.arange(3 * 40 * 40).view(3, 40, 40) ** 2 // 7 % CLASSES
        y[0, :11] = y[1, 5:9, 3:] = y[2, :, :30] = dense_oracle.IGNORE
        self.dense("segment", ("seg14", "seg8"), (x, y))

    def test_denoise(self):
        batch = pictures(3, 32), torch.tensor([3, 500, 999]), pictures(3, 32).flip(3)
        self.dense("denoise", ("unet_c16", "unet_c8"), batch)


if __name__ == "__main__":
    main()
