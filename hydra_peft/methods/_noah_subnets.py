"""The subnets of VTAB-1k that NOAH's search found and its authors retrained, by task.

ZhangYuanhan-AI/NOAH, ``experiments/NOAH/subnet/VTAB``: by block of ViT-B/16, the adapter's width,
the rank of LoRA on packed qkv, the number of prompts. Their mean count is 360,134 parameters.
"""

from __future__ import annotations

#: task, then twelve sizes of each; x is 10
_LISTED = """
cifar100         5xxx5111xxx1 x1551x111x11 x5x151x1x51x
caltech101       x15xx155x15x 1xxx5xxx51x1 5x15x1x1x1x1
dtd              111x11xxxxx1 x5115x511511 x5115x511511
flowers102       515511x55x5x xx551x15x15x xx551x15x15x
oxford_pets      15555x15x115 x11x5115xx1x x55x1xxxx5xx
svhn             55555x5x5555 555x555xxxx5 x55x55555555
sun397           x5111x551151 xx5511x1111x 51x55x151111
patch_camelyon   51x5511x1515 xx1x11555155 xx5x1xxx5155
eurosat          xx51x1x5x1xx x1xx15x111x1 xxxxx155xx5x
resisc45         555151x55155 xx555xxx1515 55x1515x1151
retinopathy      1155xxx51xx1 11x55x1xx5x1 x15x155x5x55
clevr_count      1xxxx15xxx11 11x5xxx151x1 x15x51x555x1
clevr_dist       111x111x51xx 51x5xx115x1x x11x5x515x55
dmlab            515151555xxx x515xx555xx1 1x51xx5xx111
kitti_dist       51xx1x115x55 5xxx1x55x5x1 15x1x5111555
dsprites_loc     111x11xxxxx1 1111xx1x515x 5x1xx55155x1
dsprites_ori     1xxxx15xxx11 1x1x15xx5515 5511x51xxxxx
smallnorb_azim   5111551x1151 x5151155x11x 1x1x15xx1xx5
smallnorb_elev   111x11xxxxx1 x11155x51x11 x11115xxxx1x
"""


def _read() -> dict[str, dict[str, list[int]]]:
    keys = ("adapter_widths", "lora_ranks", "prompts")
    found = {}
    for line in _LISTED.strip().splitlines():
        task, *sizes = line.split()
        listed = [[10 if size == "x" else int(size) for size in one] for one in sizes]
        found[task] = dict(zip(keys, listed, strict=True))
    return found


#: options ``adapter_widths``, ``lora_ranks`` and ``prompts`` by task
SUBNETS = _read()
