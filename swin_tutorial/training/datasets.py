"""The images of a run: a set that has a name, or a folder with a folder for each class."""

from pathlib import Path

from swin_tutorial.data.folders import ImageFolder, image_folder
from swin_tutorial.data.image_sets import IMAGE_SETS, load_images
from swin_tutorial.data.labelled import LabelledImages
from swin_tutorial.training.config import TrainingConfig

Images = LabelledImages | ImageFolder


def load_data(config: TrainingConfig, data_folder: Path | None = None) -> tuple[Images, Images]:
    """Return the training and the test images of a run: a known set, or those of a folder.

    A folder has the folders ``train`` and ``val``, each with one for each class, as ImageNet has.

    Args:
        config: names the set or the folder in ``data``.
        data_folder: where to look first; a relative ``config.data`` starts here.

    Raises FileNotFoundError or ValueError, naming the file, if something is missing or damaged.
    """
    if config.data in IMAGE_SETS:
        train, test = (load_images(config.data, split, data_folder) for split in ("train", "test"))
        return train, test
    folder = (data_folder or Path()) / config.data
    if not folder.is_dir():
        raise FileNotFoundError(
            f"--data {config.data} is none of {', '.join(IMAGE_SETS)}, and there is no folder "
            f"{folder}"
        )
    for split in ("train", "val"):
        if not (folder / split).is_dir():
            raise FileNotFoundError(
                f"there is no folder {folder / split}: --data {config.data} must have the folders "
                "train and val, and each of them a folder for each class"
            )
    train = image_folder(folder / "train", config.image_size)
    return train, image_folder(folder / "val", config.image_size, like=train)
