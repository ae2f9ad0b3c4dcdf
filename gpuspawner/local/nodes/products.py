"""The GPU products that a description of pretended nodes may name."""

from dataclasses import dataclass

__all__ = ["PRODUCTS", "Product"]


@dataclass(frozen=True, slots=True)
class Product:
    """One GPU model, as GPU feature discovery labels its nodes."""

    name: str
    """Value of ``nvidia.com/gpu.product``, ``amd.com/gpu.product-name`` or ``gpu.intel.com/product``."""
    memory: int
    """MiB per card."""
    family: str
    vendor: str = "nvidia.com"
    driver: str = ""
    """Of an Intel GPU, the kernel driver that its resource is named after: ``i915`` or ``xe``."""

    @property
    def resource(self) -> str:
        """The extended resource of a whole card."""
        return {"habana.ai": "habana.ai/gaudi", "gpu.intel.com": f"gpu.intel.com/{self.driver}"}.get(
            self.vendor, f"{self.vendor}/gpu"
        )


PRODUCTS: dict[str, Product] = {
    "1080ti": Product("NVIDIA-GeForce-GTX-1080-Ti", 11264, "pascal"),
    "2080ti": Product("NVIDIA-GeForce-RTX-2080-Ti", 11264, "turing"),
    "3090": Product("NVIDIA-GeForce-RTX-3090", 24576, "ampere"),
    "4090": Product("NVIDIA-GeForce-RTX-4090", 24564, "ada-lovelace"),
    "5090": Product("NVIDIA-GeForce-RTX-5090", 32607, "blackwell"),
    "a10": Product("NVIDIA-A10", 23028, "ampere"),
    "a10g": Product("NVIDIA-A10G", 23028, "ampere"),
    "a30": Product("NVIDIA-A30", 24576, "ampere"),
    "a40": Product("NVIDIA-A40", 46068, "ampere"),
    "a100": Product("NVIDIA-A100-SXM4-80GB", 81920, "ampere"),
    "a100-40": Product("NVIDIA-A100-SXM4-40GB", 40960, "ampere"),
    "a5000": Product("NVIDIA-RTX-A5000", 24564, "ampere"),
    "a6000": Product("NVIDIA-RTX-A6000", 49140, "ampere"),
    "b200": Product("NVIDIA-B200", 183359, "blackwell"),
    "b580": Product("B580", 12288, "B_Series", "gpu.intel.com", "xe"),
    "flex170": Product("Flex_170", 16384, "Flex_Series", "gpu.intel.com", "i915"),
    "gaudi2": Product("Gaudi2", 98304, "gaudi", "habana.ai"),
    "gb200": Product("NVIDIA-GB200", 189471, "blackwell"),
    "h100": Product("NVIDIA-H100-80GB-HBM3", 81559, "hopper"),
    "h200": Product("NVIDIA-H200", 143771, "hopper"),
    "l4": Product("NVIDIA-L4", 23034, "ada-lovelace"),
    "l40": Product("NVIDIA-L40", 46068, "ada-lovelace"),
    "l40s": Product("NVIDIA-L40S", 46068, "ada-lovelace"),
    "max1550": Product("Max_1550", 131072, "Max_Series", "gpu.intel.com", "i915"),
    "mi210": Product("AMD_Instinct_MI210", 65520, "AI", "amd.com"),
    "mi300x": Product("AMD_Instinct_MI300X_OAM", 196592, "AI", "amd.com"),
    "p100": Product("Tesla-P100-PCIE-16GB", 16384, "pascal"),
    "rtx6000ada": Product("NVIDIA-RTX-6000-Ada-Generation", 49140, "ada-lovelace"),
    "t4": Product("Tesla-T4", 15360, "turing"),
    "v100": Product("Tesla-V100-SXM2-32GB", 32768, "volta"),
    "v100-16": Product("Tesla-V100-SXM2-16GB", 16384, "volta"),
}
