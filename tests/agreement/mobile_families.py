"""MobileNets and ShuffleNets in PyTorch, written from their description: names, order and start values are what duet's
files must fit. A network returns (logits, taps) as in models.py. families.py knows of these.
"""
import torch
from torch import nn
from torch.nn import functional as F

from models import Dropout, start_convolutions

# name: (parameters, buffers, multiply-adds per image), with 100 classes for pictures of 32x32 and 1000 for larger
COUNTS = {
    "mobilenet_half": (812836, 18421, 6523648),
    "mobilenet_v1": (4231976, 21915, 568740352),
    "mobilenet_v2": (3504872, 34164, 300774272),
    "shufflenet_v1": (949258, 23785, 38691456),
    "shufflenet_v2": (1355528, 16236, 44504448),
}


def side(name):
    """Of the pictures that a network is made for."""
    return 224 if name in ("mobilenet_v1", "mobilenet_v2") else 32


def conv(inner, outer, kernel, stride=1, groups=1):
    return nn.Conv2d(inner, outer, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)


class InvertedResidual(nn.Module):
    """half: the expansion stands there though it widens nothing, the activation is ReLU, and all layers are in one row."""

    def __init__(self, taken, given, stride, t, half):
        super().__init__()
        wide, active = t * taken, nn.ReLU if half else nn.ReLU6
        parts = [[conv(wide, wide, 3, stride, wide), nn.BatchNorm2d(wide), active()]]
        if half or t > 1:
            parts.insert(0, [conv(taken, wide, 1), nn.BatchNorm2d(wide), active()])
        last = [conv(wide, given, 1), nn.BatchNorm2d(given)]
        self.conv = nn.Sequential(*(sum(parts, []) if half else (nn.Sequential(*p) for p in parts)), *last)
        self.around = stride == 1 and taken == given

    def forward(self, x):
        return x + self.conv(x) if self.around else self.conv(x)


class MobileNetV2(nn.Module):
    # t, width, blocks, stride; widths are halved for pictures of 32x32, where the second stride of 2 is 1
    GROUPS = (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)

    def __init__(self, half, classes):
        super().__init__()
        self.half = half
        active = nn.ReLU if half else nn.ReLU6
        taken = 16 if half else 32
        stem = nn.Sequential(conv(3, taken, 3, 2), nn.BatchNorm2d(taken), active())
        groups = []
        for i, (t, width, blocks, stride) in enumerate(self.GROUPS):
            width, stride, row = (width // 2 if half else width), (1 if half and i == 1 else stride), []
            for k in range(blocks):
                row.append(InvertedResidual(taken, width, stride if k == 0 else 1, t, half))
                taken = width
            groups.append(row)
        tail = nn.Sequential(conv(taken, 1280, 1), nn.BatchNorm2d(1280), active())
        if half:
            self.conv1 = stem
            self.blocks = nn.Sequential(*(nn.Sequential(*row) for row in groups))
            self.conv2 = tail
        else:
            self.features = nn.Sequential(stem, *sum(groups, []), tail)
        linear = nn.Linear(1280, classes)
        self.classifier = nn.Sequential(linear) if half else nn.Sequential(Dropout(0.2), linear)
        start_convolutions(self)
        nn.init.normal_(linear.weight, 0, 0.01)
        nn.init.zeros_(linear.bias)

    def forward(self, x):
        rows = [self.conv1, *(b for row in self.blocks for b in row), self.conv2] if self.half else list(self.features)
        taps = {}
        for i, layer in enumerate(rows):
            x = layer(x)
            stage = {3: "stage1", 6: "stage2", 13: "stage3", 17: "stage4", 18: "features"}.get(i)
            if stage:
                taps[stage] = x
        return self.classifier(x.mean(dim=(2, 3))), taps


class MobileNetV1(nn.Module):
    UNITS = (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)

    def __init__(self, classes):
        super().__init__()
        taken, layers = 32, [nn.Sequential(conv(3, 32, 3, 2), nn.BatchNorm2d(32), nn.ReLU())]
        for width, stride in self.UNITS:
            layers.append(nn.Sequential(conv(taken, taken, 3, stride, taken), nn.BatchNorm2d(taken), nn.ReLU(),
                                        conv(taken, width, 1), nn.BatchNorm2d(width), nn.ReLU()))
            taken = width
        self.model = nn.Sequential(*layers)
        self.fc = nn.Linear(taken, classes)

    def forward(self, x):
        taps = {}
        for i, layer in enumerate(self.model):
            x = layer(x)
            if i in (3, 5, 11, 13):
                taps[f"stage{len(taps) + 1}"] = x
        taps["features"] = x
        return self.fc(x.mean(dim=(2, 3))), taps


def shuffle(x, groups):
    n, c, h, w = x.shape
    return x.reshape(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


class ShuffleUnit(nn.Module):
    def __init__(self, taken, given, stride):
        super().__init__()
        self.stride, self.groups = stride, 1 if taken == 24 else 3
        branch = given - taken if stride == 2 else given
        middle = branch // 4
        self.conv1, self.bn1 = conv(taken, middle, 1, groups=self.groups), nn.BatchNorm2d(middle)
        self.conv2, self.bn2 = conv(middle, middle, 3, stride, middle), nn.BatchNorm2d(middle)
        self.conv3, self.bn3 = conv(middle, branch, 1, groups=3), nn.BatchNorm2d(branch)

    def forward(self, x):
        y = shuffle(F.relu(self.bn1(self.conv1(x))), self.groups)
        y = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(y)))))
        if self.stride == 1:
            return F.relu(y + x)
        return F.relu(torch.cat([y, F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=True)], dim=1))


class SplitUnit(nn.Module):
    """The second half of the channels is replaced."""

    def __init__(self, width):
        super().__init__()
        half = width // 2
        self.conv1, self.bn1 = conv(half, half, 1), nn.BatchNorm2d(half)
        self.conv2, self.bn2 = conv(half, half, 3, 1, half), nn.BatchNorm2d(half)
        self.conv3, self.bn3 = conv(half, half, 1), nn.BatchNorm2d(half)

    def forward(self, x):
        a, b = x.chunk(2, dim=1)
        b = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(b)))))
        return shuffle(torch.cat([a, F.relu(self.bn3(self.conv3(b)))], dim=1), 2)


class StridedUnit(nn.Module):
    """Two branches of the whole input."""

    def __init__(self, taken, given):
        super().__init__()
        half = given // 2
        self.conv1, self.bn1 = conv(taken, taken, 3, 2, taken), nn.BatchNorm2d(taken)
        self.conv2, self.bn2 = conv(taken, half, 1), nn.BatchNorm2d(half)
        self.conv3, self.bn3 = conv(taken, half, 1), nn.BatchNorm2d(half)
        self.conv4, self.bn4 = conv(half, half, 3, 2, half), nn.BatchNorm2d(half)
        self.conv5, self.bn5 = conv(half, half, 1), nn.BatchNorm2d(half)

    def forward(self, x):
        left = F.relu(self.bn2(self.conv2(self.bn1(self.conv1(x)))))
        right = self.bn4(self.conv4(F.relu(self.bn3(self.conv3(x)))))
        right = F.relu(self.bn5(self.conv5(right)))
        return shuffle(torch.cat([left, right], dim=1), 2)


class ShuffleNet(nn.Module):
    """second: of the second version."""

    def __init__(self, second, classes):
        super().__init__()
        self.second = second
        self.conv1, self.bn1 = conv(3, 24, 1), nn.BatchNorm2d(24)
        taken = 24
        for i, units in enumerate((4, 8, 4)):
            width = (116 if second else 240) << i
            row = []
            for k in range(units):
                if second:
                    row.append(SplitUnit(width) if k else StridedUnit(taken, width))
                else:
                    row.append(ShuffleUnit(taken, width, 1 if k else 2))
                taken = width
            setattr(self, f"layer{i + 1}", nn.Sequential(*row))
        if second:
            self.conv2, self.bn2 = conv(taken, 1024, 1), nn.BatchNorm2d(1024)
            taken = 1024
        self.linear = nn.Linear(taken, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        taps = {}
        for i in (1, 2, 3):
            x = getattr(self, f"layer{i}")(x)
            taps[f"stage{i}"] = x
        if self.second:
            x = F.relu(self.bn2(self.conv2(x)))
        taps["features"] = x
        return self.linear(x.mean(dim=(2, 3))), taps


def build(name, classes=None):
    """A network in training mode with its start values."""
    classes = classes or (100 if side(name) == 32 else 1000)
    if name == "mobilenet_v1":
        return MobileNetV1(classes)
    if name.startswith("mobilenet"):
        return MobileNetV2(name == "mobilenet_half", classes)
    return ShuffleNet(name == "shufflenet_v2", classes)
