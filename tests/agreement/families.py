"""VGG and the ImageNet ResNets in PyTorch, written from their description: names, order and start values are what duet's
files must fit. A network returns (logits, taps) as in models.py. Those for phones are in mobile_families.py.
"""
import torch
from torch import nn
from torch.nn import functional as F

import mobile_families
from models import conv1, conv3, start_convolutions

# name: (parameters, buffers, multiply-adds per image), with 100 classes for pictures of 32x32 and 1000 for larger
COUNTS = {
    "vgg8": (3965028, 2949, 96192512),
    "vgg11": (9277284, 5512, 209438720),
    "vgg13": (9462180, 5898, 284936192),
    "vgg16": (14774436, 8461, 398182400),
    "vgg19": (20086692, 11024, 511428608),
    "resnet18_cifar": (11220132, 9620, 555468800),
    "resnet50_cifar": (23705252, 53173, 1298014208),
    "resnet18": (11689512, 9620, 1814073344),
    "resnet34": (21797672, 17060, 3663761408),
    "resnet50": (25557032, 53173, 4089184256),
    "resnet101": (44549160, 105448, 7801405440),
    "wide_resnet50_2": (68883240, 68277, 11398021120),
    **mobile_families.COUNTS,
}


class VGG(nn.Module):
    """layers: convolutions of each of the five blocks."""

    WIDTHS = 64, 128, 256, 512, 512

    def __init__(self, layers, classes):
        super().__init__()
        inner = 3
        for i, (count, outer) in enumerate(zip(layers, self.WIDTHS)):
            block = []
            for _ in range(count):
                block += [nn.Conv2d(inner, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.ReLU()]
                inner = outer
            setattr(self, f"block{i}", nn.Sequential(*block))
        self.classifier = nn.Linear(inner, classes)
        start_convolutions(self)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.classifier.weight, 0, 0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x):
        taps = {}
        for i in range(5):
            x = getattr(self, f"block{i}")(x)
            if i:
                taps[f"stage{i}"] = x
            if i < 3:
                x = F.max_pool2d(x, 2)
        taps["features"] = x
        return self.classifier(x.mean(dim=(2, 3))), taps


class Block(nn.Module):
    """A basic block, or with `inner` channels in its 3x3 convolution a bottleneck. `shortcut` names the way around it."""

    def __init__(self, taken, given, stride, inner, shortcut):
        super().__init__()
        self.inner, self.around = inner, shortcut
        if inner:
            self.conv1, self.bn1 = conv1(taken, inner, 1), nn.BatchNorm2d(inner)
            self.conv2, self.bn2 = conv3(inner, inner, stride), nn.BatchNorm2d(inner)
            self.conv3, self.bn3 = conv1(inner, given, 1), nn.BatchNorm2d(given)
        else:
            self.conv1, self.bn1 = conv3(taken, given, stride), nn.BatchNorm2d(given)
            self.conv2, self.bn2 = conv3(given, given), nn.BatchNorm2d(given)
        if stride != 1 or taken != given:
            setattr(self, shortcut, nn.Sequential(conv1(taken, given, stride), nn.BatchNorm2d(given)))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.inner:
            y = self.bn3(self.conv3(F.relu(y)))
        return F.relu(y + (getattr(self, self.around)(x) if hasattr(self, self.around) else x))


class ResNet(nn.Module):
    """blocks of the four layers; wide: the 3x3 convolution of a bottleneck has so many times the planes, 0 for basic
    blocks; small: for pictures of 32x32."""

    def __init__(self, blocks, wide, small, classes):
        super().__init__()
        self.small = small
        self.conv1 = conv3(3, 64) if small else nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        taken = 64
        for i, count in enumerate(blocks):
            planes, layer = 64 << i, []
            given = 4 * planes if wide else planes
            for k in range(count):
                layer.append(Block(taken, given, 2 if i and k == 0 else 1, wide * planes, "shortcut" if small else "downsample"))
                taken = given
            setattr(self, f"layer{i + 1}", nn.Sequential(*layer))
        setattr(self, "linear" if small else "fc", nn.Linear(taken, classes))
        start_convolutions(self)

    def forward(self, x):
        taps = {}
        x = F.relu(self.bn1(self.conv1(x)))
        if not self.small:
            x = F.max_pool2d(x, 3, stride=2, padding=1)
        for i in (1, 2, 3, 4):
            x = getattr(self, f"layer{i}")(x)
            taps[f"stage{i}"] = x
        taps["features"] = x
        return (self.linear if self.small else self.fc)(x.mean(dim=(2, 3))), taps


VGGS = {"vgg8": (1, 1, 1, 1, 1), "vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3),
        "vgg19": (2, 2, 4, 4, 4)}
# name: blocks, wide
RESNETS = {"resnet18": ((2, 2, 2, 2), 0), "resnet34": ((3, 4, 6, 3), 0), "resnet50": ((3, 4, 6, 3), 1),
           "resnet101": ((3, 4, 23, 3), 1), "wide_resnet50_2": ((3, 4, 6, 3), 2)}


def side(name):
    """Of the pictures that a network is made for."""
    if name in mobile_families.COUNTS:
        return mobile_families.side(name)
    return 32 if name in VGGS or name.endswith("_cifar") else 224


def build(name, classes=None):
    """A network in training mode with its start values."""
    if name in mobile_families.COUNTS:
        return mobile_families.build(name, classes)
    if name in VGGS:
        return VGG(VGGS[name], classes or 100)
    small = name.endswith("_cifar")
    return ResNet(*RESNETS[name.replace("_cifar", "")], small, classes or (100 if small else 1000))
