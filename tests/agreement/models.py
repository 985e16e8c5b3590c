"""Classifiers in PyTorch, here the resnet and wrn families, written from their description: names, order and start values
are what duet's files must fit, so `load_state_dict(..., strict=True)` is the test of the names.

A network returns (logits, taps): taps are the maps "stage1", "stage2", "stage3" and "features", the map that enters
global pooling.
"""
import math

import torch
from torch import nn
from torch.nn import functional as F


def conv3(inner, outer, stride=1):
    return nn.Conv2d(inner, outer, 3, stride=stride, padding=1, bias=False)


def conv1(inner, outer, stride):
    return nn.Conv2d(inner, outer, 1, stride=stride, bias=False)


class BasicBlock(nn.Module):
    def __init__(self, inner, outer, stride):
        super().__init__()
        self.conv1 = conv3(inner, outer, stride)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = conv3(outer, outer)
        self.bn2 = nn.BatchNorm2d(outer)
        if stride != 1 or inner != outer:
            self.downsample = nn.Sequential(conv1(inner, outer, stride), nn.BatchNorm2d(outer))
        else:
            self.downsample = nn.Identity()  # holds nothing, so it has no names

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.downsample(x))


class ResNet(nn.Module):
    """depth = 6n + 2; widths: of the stem and of the three stages."""

    def __init__(self, depth, widths, classes):
        super().__init__()
        n = (depth - 2) // 6
        self.conv1 = conv3(3, widths[0])
        self.bn1 = nn.BatchNorm2d(widths[0])
        inner = widths[0]
        for stage, outer in enumerate(widths[1:], 1):
            blocks = []
            for i in range(n):
                blocks.append(BasicBlock(inner, outer, 2 if i == 0 and stage > 1 else 1))
                inner = outer
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inner, classes)
        start_convolutions(self)

    def forward(self, x):
        taps = {}
        x = F.relu(self.bn1(self.conv1(x)))
        for stage in (1, 2, 3):
            x = getattr(self, f"layer{stage}")(x)
            taps[f"stage{stage}"] = x
        taps["features"] = x
        return self.fc(x.mean(dim=(2, 3))), taps


class PreactivationBlock(nn.Module):
    def __init__(self, inner, outer, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv1 = conv3(inner, outer, stride)
        self.bn2 = nn.BatchNorm2d(outer)
        self.conv2 = conv3(outer, outer)
        if inner != outer:
            self.convShortcut = conv1(inner, outer, stride)

    def forward(self, x):
        activated = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(activated))))
        return y + (self.convShortcut(activated) if hasattr(self, "convShortcut") else x)


class Stage(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.layer = nn.Sequential(*blocks)

    def forward(self, x):
        return self.layer(x)


class WideResNet(nn.Module):
    """depth = 6n + 4; widths 16, 16k, 32k, 64k."""

    def __init__(self, depth, k, classes):
        super().__init__()
        n = (depth - 4) // 6
        self.conv1 = conv3(3, 16)
        inner = 16
        for stage in (1, 2, 3):
            outer = 16 * k * 2 ** (stage - 1)
            blocks = []
            for i in range(n):
                blocks.append(PreactivationBlock(inner, outer, 2 if i == 0 and stage > 1 else 1))
                inner = outer
            setattr(self, f"block{stage}", Stage(blocks))
        self.bn1 = nn.BatchNorm2d(inner)
        self.fc = nn.Linear(inner, classes)
        start_convolutions(self)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x):
        taps = {}
        x = self.conv1(x)
        for stage in (1, 2, 3):
            x = getattr(self, f"block{stage}")(x)
            taps[f"stage{stage}"] = x
        x = F.relu(self.bn1(x))
        taps["features"] = x
        return self.fc(x.mean(dim=(2, 3))), taps


def start_convolutions(network):
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            out, _, height, width = module.weight.shape
            nn.init.normal_(module.weight, 0, math.sqrt(2 / (height * width * out)))


# name: (parameters, buffers, multiply-adds per image) with 100 classes
COUNTS = {
    "resnet8": (83892, 681, 12507392),
    "resnet14": (181108, 1135, 26663168),
    "resnet20": (278324, 1589, 40818944),
    "resnet32": (472756, 2497, 69130496),
    "resnet44": (667188, 3405, 97442048),
    "resnet56": (861620, 4313, 125753600),
    "resnet110": (1736564, 8399, 253155584),
    "resnet8x4": (1233540, 2762, 177071104),
    "resnet32x4": (7433860, 9954, 1083040768),
    "wrn_16_1": (180916, 941, 26663168),
    "wrn_16_2": (703284, 1837, 101118464),
    "wrn_40_1": (569780, 2757, 83286272),
    "wrn_40_2": (2255156, 5445, 327610880),
}


class Dropout(nn.Module):
    """Dropout whose pattern somebody else may dictate: `keep` is None (PyTorch draws) or a function from a shape to a bool
    tensor that is true where x stays. which: its number in the network."""

    def __init__(self, p, which=0):
        super().__init__()
        self.p, self.which, self.keep = p, which, None

    def forward(self, x):
        if not self.training or self.p == 0:
            return x
        if self.keep is None:
            return F.dropout(x, self.p)
        return x * self.keep(x.shape).to(x.dtype) / (1 - self.p)


def dictate_dropout(net, pattern):
    """pattern(which, p, shape) -> what that dropout of the network keeps."""
    for m in net.modules():
        if isinstance(m, Dropout):
            m.keep = lambda shape, m=m: pattern(m.which, m.p, shape)


def head(network):
    """The linear layer that makes logits."""
    return [m for m in network.modules() if isinstance(m, nn.Linear)][-1]


def build(name, classes=100, seed=None):
    """A network in training mode with its start values; seed fixes them. Other families are in families.py."""
    if seed is not None:
        torch.manual_seed(seed)
    import families  # which is built of parts of this file
    if name in families.COUNTS:
        return families.build(name, classes)
    if name.startswith("wrn_"):
        depth, k = map(int, name.split("_")[1:])
        return WideResNet(depth, k, classes)
    wide = name.endswith("x4")
    depth = int(name[len("resnet"):-2 if wide else None])
    return ResNet(depth, (32, 64, 128, 256) if wide else (16, 16, 32, 64), classes)
