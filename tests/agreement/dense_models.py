"""The networks of the dense tasks in PyTorch, written from their description: segmentation networks in the naming of
CIRKD's and torchvision's weight files, our small ones (seg8 ..), and the noise-predicting UNets in the naming of diffusers.
As in models.py, `load_state_dict(..., strict=True)` is the test of the names.

A segmentation network returns Maps(output: coarse logits, features: the map that the last 1x1 convolution reads, before its
dropout, aux: coarse logits of the auxiliary head or None); a UNet takes (x, t) and returns Maps(output: the noise, features:
the map that the last convolution reads).
"""
import math
from collections import namedtuple

import torch
from torch import nn
from torch.nn import functional as F

from models import Dropout

Maps = namedtuple("Maps", "output features aux")
PROJECT, LAST, AUX = range(3)  # dropouts of networks of places; a UNet counts them on the way from picture to noise


def resize(x, size, align):
    """Bilinear. align: corners fall on corners."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=align)


# ---- backbones -----------------------------------------------------------------------------------------------------


def conv_norm(inner, outer, kernel, stride=1, rate=1):
    """[convolution without bias, batch norm]; zeros around it keep the size where the stride is 1."""
    padding = rate if kernel == 3 else kernel // 2
    return [nn.Conv2d(inner, outer, kernel, stride=stride, padding=padding, dilation=rate, bias=False),
            nn.BatchNorm2d(outer)]


def conv_norm_relu(inner, outer, kernel, stride=1, rate=1):
    return conv_norm(inner, outer, kernel, stride, rate) + [nn.ReLU()]


class Block(nn.Module):
    """A residual block: two 3x3 convolutions, or 1x1, 3x3, 1x1 with four times the width (bottleneck). `entry` is the rate of
    the 3x3 convolution that carries the stride, `rate` that of a basic block's second one."""

    def __init__(self, inner, width, stride, entry, rate, bottleneck):
        super().__init__()
        outer = width * (4 if bottleneck else 1)
        if bottleneck:
            plan = [(inner, width, 1, 1, 1), (width, width, 3, stride, entry), (width, outer, 1, 1, 1)]
        else:
            plan = [(inner, width, 3, stride, entry), (width, width, 3, 1, rate)]
        self.depth = len(plan)
        for i, arguments in enumerate(plan, 1):
            conv, norm = conv_norm(*arguments)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", norm)
        self.downsample = nn.Sequential(*conv_norm(inner, outer, 1, stride)) if stride != 1 or inner != outer else None

    def forward(self, x):
        y = x
        for i in range(1, self.depth + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            if i < self.depth:
                y = F.relu(y)
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def layer(count, inner, width, stride=1, rate=1, bottleneck=False):
    outer = width * (4 if bottleneck else 1)
    blocks = [Block(inner, width, stride, max(1, rate // 2), rate, bottleneck)]
    blocks += [Block(outer, width, 1, rate, rate, bottleneck) for _ in range(count - 1)]
    return nn.Sequential(*blocks)


class DilatedResNet(nn.Module):
    """An ImageNet ResNet whose last two layers dilate instead of stepping: output stride 8. The stem is three 3x3
    convolutions (CIRKD) or one of 7x7 (torchvision)."""

    COUNTS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}

    def __init__(self, depth, three):
        super().__init__()
        bottleneck = depth > 18
        times = 4 if bottleneck else 1
        stem = [(3, 64, 3, 2), (64, 64, 3), (64, 128, 3)] if three else [(3, 64, 7, 2)]
        self.stem = len(stem)
        for i, arguments in enumerate(stem, 1):
            conv, norm = conv_norm(*arguments)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", norm)
        inner = stem[-1][1]
        for i, (width, stride, rate) in enumerate([(64, 1, 1), (128, 2, 1), (256, 1, 2), (512, 1, 4)], 1):
            self.add_module(f"layer{i}", layer(self.COUNTS[depth][i - 1], inner, width, stride, rate, bottleneck))
            inner = width * times
        self.middle, self.outer = inner // 2, inner

    def forward(self, x):
        for i in range(1, self.stem + 1):
            x = F.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)))
        x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
        third = self.layer3(self.layer2(self.layer1(x)))
        return third, self.layer4(third)


# ---- heads ---------------------------------------------------------------------------------------------------------


def fcn_layers(inner, classes):
    """The auxiliary head: 3x3 to a quarter of the width, 1x1."""
    return nn.Sequential(*conv_norm_relu(inner, inner // 4, 3), Dropout(0.1, AUX), nn.Conv2d(inner // 4, classes, 1))


class Named(nn.Module):
    """Modules under the names that a file wants, without a forward of their own."""

    def __init__(self, **children):
        super().__init__()
        for name, module in children.items():
            self.add_module(name, module)


class Wrapped(Named):
    """One child under its name, which it hands x on to."""

    def forward(self, x):
        (child,) = self.children()
        return child(x)


def pyramid(branches, project, x):
    """Every branch of x side by side; the last one, a global average, is the same at every place."""
    maps = [branch(x) for branch in branches]
    maps[-1] = maps[-1].expand(-1, -1, x.shape[2], x.shape[3])
    return project(torch.cat(maps, dim=1))


class Aspp(nn.Module):
    """CIRKD's atrous pyramid: b0 1x1, b1.. 3x3 at the rates, then the global average."""

    def __init__(self, inner, outer, rates):
        super().__init__()
        self.b0 = nn.Sequential(*conv_norm_relu(inner, outer, 1))
        for i, rate in enumerate(rates, 1):
            self.add_module(f"b{i}", Wrapped(block=nn.Sequential(*conv_norm_relu(inner, outer, 3, 1, rate))))
        pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), *conv_norm_relu(inner, outer, 1))
        self.add_module(f"b{len(rates) + 1}", Wrapped(gap=pool))
        self.branches = len(rates) + 2
        self.project = nn.Sequential(*conv_norm_relu(self.branches * outer, outer, 1), Dropout(0.5, PROJECT))

    def forward(self, x):
        return pyramid([getattr(self, f"b{i}") for i in range(self.branches)], self.project, x)


class DeepLabHead(nn.Module):
    def __init__(self, inner, width, classes, rates):
        super().__init__()
        self.aspp = Aspp(inner, width, rates)
        self.block = nn.Sequential(*conv_norm_relu(width, width, 3), Dropout(0.1, LAST),
                                   nn.Conv2d(width, classes, 1))

    def last(self):
        return self.block[4]

    def forward(self, x):
        features = self.block[:3](self.aspp(x))
        return self.block[3:](features), features


class PspHead(nn.Module):
    SIZES = (1, 2, 3, 6)

    def __init__(self, inner, width, classes):
        super().__init__()
        self.psp = Named(**{f"conv{i}": nn.Sequential(*conv_norm_relu(inner, inner // 4, 1)) for i in range(1, 5)})
        self.block = nn.Sequential(*conv_norm_relu(2 * inner, width, 3), Dropout(0.1, LAST))
        self.classifier = nn.Conv2d(width, classes, 1)

    def last(self):
        return self.classifier

    def forward(self, x):
        maps = [x]
        for size, branch in zip(self.SIZES, self.psp.children()):
            maps.append(resize(branch(F.adaptive_avg_pool2d(x, size)), x.shape[2:], align=True))
        features = self.block[:3](torch.cat(maps, dim=1))
        return self.classifier(self.block[3](features)), features


# ---- segmentation networks -------------------------------------------------------------------------------------------


def start_convolutions(module):
    """Kaiming normal by fan out, no bias."""
    for m in module.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            if m.bias is not None:
                nn.init.zeros_(m.bias)


class Cirkd(nn.Module):
    align = True

    def __init__(self, head, depth, width, classes):
        super().__init__()
        self.pretrained = DilatedResNet(depth, three=True)
        start_convolutions(self.pretrained)
        outer = self.pretrained.outer
        self.head = PspHead(outer, width, classes) if head == "psp" else DeepLabHead(outer, width, classes, (12, 24, 36))
        self.auxlayer = Wrapped(block=fcn_layers(self.pretrained.middle, classes))

    def last(self):
        return self.head.last()

    def forward(self, x):
        third, fourth = self.pretrained(x)
        return Maps(*self.head(fourth), self.auxlayer(third))


class Torchvision(nn.Module):
    align = False

    def __init__(self, depth, classes, width=256):
        super().__init__()
        self.backbone = DilatedResNet(depth, three=False)
        start_convolutions(self.backbone)
        outer = self.backbone.outer
        branches = [nn.Sequential(*conv_norm_relu(outer, width, 1))]
        branches += [nn.Sequential(*conv_norm_relu(outer, width, 3, 1, rate)) for rate in (12, 24, 36)]
        branches += [nn.Sequential(nn.AdaptiveAvgPool2d(1), *conv_norm_relu(outer, width, 1))]
        project = nn.Sequential(*conv_norm_relu(5 * width, width, 1), Dropout(0.5, PROJECT))
        self.classifier = nn.Sequential(Named(convs=nn.ModuleList(branches), project=project),
                                        *conv_norm_relu(width, width, 3), nn.Conv2d(width, classes, 1))
        self.aux_classifier = fcn_layers(self.backbone.middle, classes)

    def last(self):
        return self.classifier[4]

    def forward(self, x):
        third, fourth = self.backbone(x)
        aspp = self.classifier[0]
        features = self.classifier[1:4](pyramid(aspp.convs, aspp.project, fourth))
        return Maps(self.classifier[4](features), features, self.aux_classifier(third))


class Seg(nn.Module):
    """Ours, output stride 4: a CIFAR ResNet whose stem steps and whose third layer dilates, and a small DeepLab head."""
    align = False

    def __init__(self, depth, times, classes):
        super().__init__()
        count, w = (depth - 2) // 6, [times * c for c in (16, 16, 32, 64)]
        self.conv1, self.bn1 = conv_norm(3, w[0], 3, stride=2)
        self.layer1 = layer(count, w[0], w[1])
        self.layer2 = layer(count, w[1], w[2], stride=2)
        self.layer3 = layer(count, w[2], w[3], rate=2)
        self.head = DeepLabHead(w[3], 32 * times, classes, (2, 4))
        start_convolutions(self)
        nn.init.normal_(self.last().weight, 0, 0.01)

    def last(self):
        return self.head.last()

    def forward(self, x):
        x = self.layer1(F.relu(self.bn1(self.conv1(x))))
        return Maps(*self.head(self.layer3(self.layer2(x))), None)


# ---- the UNet of denoising diffusion -----------------------------------------------------------------------------------


def time_embedding(t, width):
    """Sines first, then cosines; the slowest of width/2 frequencies is exactly 1/10000."""
    half = width // 2
    frequency = torch.exp(torch.arange(half, dtype=torch.float64) * (-math.log(10000) / (half - 1)))
    angle = t.to(torch.float64)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class Res(nn.Module):
    def __init__(self, inner, outer, time, groups, dropout):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inner, eps=1e-6)
        self.conv1 = nn.Conv2d(inner, outer, 3, padding=1)
        self.time_emb_proj = nn.Linear(time, outer)
        self.norm2 = nn.GroupNorm(groups, outer, eps=1e-6)
        self.conv2 = nn.Conv2d(outer, outer, 3, padding=1)
        self.dropout = Dropout(dropout)
        self.conv_shortcut = nn.Conv2d(inner, outer, 1) if inner != outer else None

    def forward(self, x, emb):
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.time_emb_proj(F.silu(emb))[:, :, None, None]
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        return h + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Attention(nn.Module):
    """One head as wide as the map; a place is a token."""

    def __init__(self, channels, groups):
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x):
        tokens = self.group_norm(x).flatten(2).permute(0, 2, 1)  # [n, places, channels]
        q, k, v = self.to_q(tokens), self.to_k(tokens), self.to_v(tokens)
        heed = F.softmax(torch.einsum("npc,nqc->npq", q, k) / math.sqrt(x.shape[1]), dim=2)
        out = self.to_out[0](torch.einsum("npq,nqc->npc", heed, v))
        return x + out.permute(0, 2, 1).reshape(x.shape)


class Level(nn.Module):
    """Res blocks of one size, with attention behind each of them or behind none, and what changes the size."""

    def __init__(self, plan, attention, time, groups, dropout, down=None, up=None):
        super().__init__()
        self.resnets = nn.ModuleList(Res(inner, outer, time, groups, dropout) for inner, outer in plan)
        if attention:
            self.attentions = nn.ModuleList(Attention(outer, groups) for _, outer in plan)
        if down:
            self.downsamplers = nn.ModuleList([Named(conv=nn.Conv2d(down, down, 3, stride=2))])
        if up:
            self.upsamplers = nn.ModuleList([Named(conv=nn.Conv2d(up, up, 3, padding=1))])

    def block(self, i, x, emb):
        x = self.resnets[i](x, emb)
        return self.attentions[i](x) if hasattr(self, "attentions") else x


class UNet(nn.Module):
    def __init__(self, ch, multipliers, blocks, attention_at, groups, dropout, size=32):
        super().__init__()
        self.ch, time = ch, 4 * ch
        widths = [ch * m for m in multipliers]
        common = {"time": time, "groups": groups, "dropout": dropout}
        attends = [size >> i in attention_at for i in range(len(widths))]
        self.conv_in = nn.Conv2d(3, ch, 3, padding=1)
        self.time_embedding = Named(linear_1=nn.Linear(ch, time), linear_2=nn.Linear(time, time))

        self.down_blocks, skips, inner = nn.ModuleList(), [ch], ch
        for i, width in enumerate(widths):
            last = i + 1 == len(widths)
            plan = [(inner if b == 0 else width, width) for b in range(blocks)]
            self.down_blocks.append(Level(plan, attends[i], down=None if last else width, **common))
            skips += [width] * (blocks if last else blocks + 1)
            inner = width

        self.up_blocks = nn.ModuleList()
        self.mid_block = Level([(inner, inner)] * 2, False, **common)
        self.mid_block.attentions = nn.ModuleList([Attention(inner, groups)])
        for i, width in reversed(list(enumerate(widths))):
            plan = []
            for _ in range(blocks + 1):
                plan.append((inner + skips.pop(), width))
                inner = width
            self.up_blocks.append(Level(plan, attends[i], up=width if i else None, **common))
        self.conv_norm_out = nn.GroupNorm(groups, inner, eps=1e-6)
        self.conv_out = nn.Conv2d(inner, 3, 3, padding=1)
        levels = [*self.down_blocks, self.mid_block, *self.up_blocks]
        for which, res in enumerate(res for level in levels for res in level.resnets):
            res.dropout.which = which
        self.start()

    def start(self):
        for name, m in self.named_modules():
            if isinstance(m, (nn.Conv2d, nn.Linear)):
                nearly_nothing = name.split(".")[-1] == "conv2" or name == "conv_out" or name.endswith("to_out.0")
                nn.init.xavier_uniform_(m.weight, gain=1e-5 if nearly_nothing else 1)
                nn.init.zeros_(m.bias)

    def last(self):
        return self.conv_out

    def forward(self, x, t):
        embed = self.time_embedding
        emb = embed.linear_2(F.silu(embed.linear_1(time_embedding(t, self.ch).to(x.dtype))))
        x = self.conv_in(x)
        skips = [x]
        for level in self.down_blocks:
            for i in range(len(level.resnets)):
                x = level.block(i, x, emb)
                skips.append(x)
            if hasattr(level, "downsamplers"):  # one row and one column of zeros, below and to the right
                x = level.downsamplers[0].conv(F.pad(x, (0, 1, 0, 1)))
                skips.append(x)
        middle = self.mid_block
        x = middle.resnets[1](middle.attentions[0](middle.resnets[0](x, emb)), emb)
        for level in self.up_blocks:
            for i in range(len(level.resnets)):
                x = level.block(i, torch.cat([x, skips.pop()], dim=1), emb)
            if hasattr(level, "upsamplers"):
                x = level.upsamplers[0].conv(F.interpolate(x, scale_factor=2, mode="nearest"))
        features = F.silu(self.conv_norm_out(x))
        return Maps(self.conv_out(features), features, None)


# ---- by name -----------------------------------------------------------------------------------------------------------

UNETS = {  # ch, multipliers, blocks, attention at, groups, dropout
    "unet_c128": (128, (1, 2, 2, 2), 2, (16,), 32, 0.1),
    "unet_c64": (64, (1, 2, 2, 2), 2, (16,), 32, 0.1),
    "unet_c32": (32, (1, 2, 2), 2, (8,), 8, 0.0),
    "unet_c16d2": (16, (1, 2, 2), 2, (8,), 8, 0.0),
    "unet_c16": (16, (1, 2, 2), 1, (8,), 8, 0.0),
    "unet_c8": (8, (1, 2, 2), 1, (8,), 4, 0.0),
}

# name: (parameters, those of the auxiliary head, side of the input or (height, width), multiply-adds per image with the
# auxiliary head), at the family's own number of classes: 19, 21 (tv_), 11 (seg)
CITY = (512, 1024)
COUNTS = {
    "deeplabv3_resnet101": (61118950, 2364691, CITY, 515837001728),
    "deeplabv3_resnet18": (13607974, 148819, CITY, 129373896704),
    "pspnet_resnet18": (12919334, 148819, CITY, 122129350656),
    "deeplabv3_resnet101_w512": (79084262, 2364691, CITY, 658685034496),
    "deeplabv3_resnet18_w512": (22762918, 148819, CITY, 202716741632),
    "tv_deeplabv3_resnet101": (60996202, 2365205, CITY, 501685420032),
    "tv_deeplabv3_resnet50": (42004074, 2365205, CITY, 346529726464),
    "seg8": (132411, 0, (64, 64), 36972544),
    "seg14": (229627, 0, (64, 64), 65284096),
    "seg20": (326843, 0, (64, 64), 93595648),
    "seg56": (910139, 0, (64, 64), 263464960),
    "seg8x2": (525931, 0, (64, 64), 146825216),
    "seg20x2": (1301867, 0, (64, 64), 373317632),
    "unet_c128": (35746307, 0, (32, 32), 6221856768),
    "unet_c64": (8952067, 0, (32, 32), 1599209472),
    "unet_c32": (1624323, 0, (32, 32), 363929600),
    "unet_c16d2": (409219, 0, (32, 32), 92211200),
    "unet_c16": (280755, 0, (32, 32), 63430656),
    "unet_c8": (71323, 0, (32, 32), 16340992),
}


def build(name, classes=None, seed=None):
    """A network in training mode with its start values; seed fixes them. UNets take no classes."""
    if seed is not None:
        torch.manual_seed(seed)
    if name.startswith("unet_"):
        return UNet(*UNETS[name])
    if name.startswith("tv_deeplabv3_resnet"):
        return Torchvision(int(name[len("tv_deeplabv3_resnet"):]), classes or 21)
    if name.startswith("seg"):
        depth, _, times = name[len("seg"):].partition("x")
        return Seg(int(depth), int(times or 1), classes or 11)
    family, _, rest = name.partition("_resnet")
    depth, _, wide = rest.partition("_w")
    width = int(wide) if wide else {"101": 256, "18": 128}[depth]
    return Cirkd({"deeplabv3": "deeplab", "pspnet": "psp"}[family], int(depth), width, classes or 19)


def multiply_adds(network, *inputs):
    """Of convolutions, linear layers and attention's two products, for the whole batch given."""
    total = 0

    def count(module, given, result):
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += result.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            total += result.numel() * module.in_features
        else:
            n, channels, height, width = result.shape
            total += 2 * n * channels * (height * width) ** 2

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear, Attention))]
    with torch.no_grad():
        network(*inputs)
    for hook in hooks:
        hook.remove()
    return total
