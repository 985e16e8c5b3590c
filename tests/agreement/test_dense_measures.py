"""What duet measures in the dense tasks, and the weight files it leaves, looked at from PyTorch."""
import csv
import json

from dense_harness import DenoiseCase, SegmentCase, dense_models, diffusion, torch
import numpy as np
from torch.nn import functional as F

import dense_measures as measures
import dense_oracle as oracle
from harness import duet, main, peers, to_state


def load(model, arrays, classes):
    net = dense_models.build(model, classes).to(oracle.REAL)
    net.load_state_dict(to_state(arrays), strict=True)
    return net.eval()


def measured(weights, data, folder):
    return json.loads(duet("eval", weights, "--data", data, "--path", folder, "--json"))


class Segment(SegmentCase):
    def test_weights_and_measures(self):
        folder, splits = self.pictures(40, self.SIZE, (3,))
        networks = peers("teacher=seg8x2", "student=seg8")
        data = {"name": "folder-seg", "path": str(folder), "normalise": "imagenet"}
        recipe = self.recipe_of(None, data, networks, {"name": "dml"}, None, {"epochs": 1, "evaluate_every": 1, "lr": 0.02})
        _, states, out = self.run_duet(recipe)
        pixels, masks = splits["val"]
        for n in networks:
            with self.subTest(model=n["model"]):
                net = load(n["model"], states[n["name"]], self.CLASSES)
                said = measured(out / f"{n['name']}.safetensors", "folder-seg", folder)
                self.look_at(said, net, pixels, masks)

    def look_at(self, said, net, pixels, masks):
        with torch.no_grad():
            z = oracle.resize(net(self.seen(pixels).to(oracle.REAL)).output.double(), masks.shape[1:], net.align)
        p = F.softmax(z, dim=1).numpy().transpose(1, 0, 2, 3).reshape(self.CLASSES, -1)
        wanted = measures.scores(measures.confusion(p.argmax(axis=0), masks.reshape(-1), self.CLASSES))
        self.assertAlmostEqual(said["miou"], 100 * wanted["miou"], delta=0.1)  # a pixel of 12,000 may be on the other side
        self.assertAlmostEqual(said["pixel_accuracy"], 100 * wanted["accuracy"], delta=0.1)
        self.assertEqual(said["absent"], wanted["absent"])
        for found, iou in zip(said["iou"], wanted["iou"]):
            if np.isnan(iou):
                self.assertIsNone(found["iou"])
            else:
                self.assertAlmostEqual(found["iou"], 100 * iou, delta=0.3)
        y = torch.from_numpy(masks).long()
        self.assertAlmostEqual(said["ce"], F.cross_entropy(z, y, ignore_index=oracle.IGNORE).item(), places=4)
        self.assertAlmostEqual(said["ece"], measures.calibration_error(p, masks.reshape(-1)), places=3)


class Denoise(DenoiseCase):
    def test_weights_and_validation_loss(self):
        folder, pixels, _ = self.data_of(40)
        networks = peers("teacher=unet_c16", "student=unet_c8")
        recipe = self.recipe_of({"noise": "cosine"}, {"name": "cifar100", "path": str(folder)}, networks, {"name": "dml"},
                                None, {"epochs": 1, "evaluate_every": 1, "lr": 0.002})
        _, states, out = self.run_duet(recipe)
        test = self.pixels_of_test(folder)
        for n in networks:
            with self.subTest(model=n["model"]):
                net = load(n["model"], states[n["name"]], None)
                said = measured(out / f"{n['name']}.safetensors", "cifar100", folder)
                x, t, eps = self.validation_batch(test, "cosine")
                with torch.no_grad():
                    e = net(x.to(oracle.REAL), t).output.double()
                loss, bins = diffusion.validation_loss((e - eps).pow(2).mean(dim=(1, 2, 3)).numpy(), 1000)
                self.assertAlmostEqual(said["mse"], loss, delta=1e-5)
                for b in range(10):
                    self.assertAlmostEqual(said[f"mse_{b}"], bins[b], delta=1e-5)

    @staticmethod
    def pixels_of_test(folder):
        return np.fromfile(folder / "test.bin", dtype=np.uint8).reshape(-1, 3074)[:, 2:].reshape(-1, 3, 32, 32)

    def test_measuring_does_not_depend_on_the_run(self):
        """The noise is the same for every epoch, network and run, and for `duet eval`."""
        folder, *_ = self.data_of(40)
        recipe = self.recipe_of(None, {"name": "cifar100", "path": str(folder)}, peers("peer=unet_c8"), {"name": "vanilla"},
                                None, {"epochs": 1, "evaluate_every": 1, "seed": 5})
        *_, out = self.run_duet(recipe)
        with open(out / "metrics.csv") as f:
            last = list(csv.DictReader(f))[-1]
        said = measured(out / "peer.safetensors", "cifar100", folder)
        self.assertAlmostEqual(float(last["peer.mse"]), said["mse"], delta=1e-6)


if __name__ == "__main__":
    main()
