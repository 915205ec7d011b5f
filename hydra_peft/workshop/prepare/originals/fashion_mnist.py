"""Fashion-MNIST: 70,000 grey images of 28x28 in 10 classes of clothes (Xiao et al. 2017).

Read from its IDX files, as Debian's package dataset-fashion-mnist has them in
``/usr/share/datasets/fashion-mnist`` and torchvision in ``FashionMNIST/raw``, gzipped or not. The
publishers of both compress anew, so what is compared is the hash of the plain content.
"""

from __future__ import annotations

from functools import partial

from hydra_peft.workshop.prepare.originals._base import Original, two_pools
from hydra_peft.workshop.prepare.originals._idx_images import idx_pools

#: of the plain content of Debian's 0.0~git20200523 files
SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


ORIGINAL = Original(
    name="Fashion-MNIST",
    tasks={"fashion_mnist": two_pools(90)},
    files=(),  # Debian's package manager brings it, and torchvision does
    page="https://github.com/zalandoresearch/fashion-mnist (MIT), or on Debian apt-get install "
    "dataset-fashion-mnist and give source=/usr/share/datasets/fashion-mnist",
    needs=tuple(f"{name}.gz" for name in SHA256),
    pools=partial(idx_pools, folder="FashionMNIST/raw", sha256=SHA256),
)
