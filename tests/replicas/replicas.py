"""Tiny replicas of the layouts in which public competitions ship their files.

Names, columns and spellings are real, the images are noise unless the caller of `make` draws them.
expected.csv says what `ens init` should make of each.
"""

import csv
import io
import random
import shutil
import zipfile

from PIL import Image

N = 12
CASES = {}


def case(make):
    CASES[make.__name__] = make
    return make


def noise(name, size):
    """The default image of a file, by its path under the root; of a record by its id."""
    return Image.frombytes("RGB", size, random.randbytes(size[0] * size[1] * 3))


drawing = {"draw": noise, "root": None}


def img(path, size=(16, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing["draw"](path.relative_to(drawing["root"]).as_posix(), size).save(path)


def wr(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def classes(root, names, n=6, form="{c}_{i}.jpg"):
    for c in names:
        for i in range(n):
            img(root / c / form.format(c=c.replace(" ", "_"), i=i))


def flat(root, ids, suffix=".jpg"):
    for i in ids:
        img(root / f"{i}{suffix}")


def _varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def _field(number, payload):
    return bytes([number << 3 | 2]) + _varint(len(payload)) + payload


def _feature(value):
    if isinstance(value, bytes):
        return _field(1, _field(1, value))
    return _field(3, _field(1, _varint(value)))


def _crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _masked(data):
    crc = _crc32c(data)
    return (((crc >> 15 | crc << 17) & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF


def tfrecord(path, rows):
    """TFRecord framing around tf.train.Example; a row is {feature: bytes or int}."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        for row in rows:
            features = b"".join(
                _field(1, _field(1, k.encode()) + _field(2, _feature(v))) for k, v in row.items()
            )
            example = _field(1, features)
            length = len(example).to_bytes(8, "little")
            for part in (
                length,
                _masked(length).to_bytes(4, "little"),
                example,
                _masked(example).to_bytes(4, "little"),
            ):
                file.write(part)


def jpeg(name, size):
    buffer = io.BytesIO()
    drawing["draw"](name, size).save(buffer, "JPEG")
    return buffer.getvalue()


def grey(name):
    return list(drawing["draw"](name, (28, 28)).convert("L").tobytes())


def _zip(folder, dest):
    with zipfile.ZipFile(dest, "w") as z:
        for p in folder.rglob("*"):
            if p.is_file():
                z.write(p, p.relative_to(folder.parent))
    shutil.rmtree(folder)


@case
def dogs_redux_nested(r):
    flat(r / "train", [f"{c}.{i}" for c in ("cat", "dog") for i in range(6)])
    flat(r / "test", range(1, 7))
    _zip(r / "train", r / "train.zip")
    _zip(r / "test", r / "test.zip")
    wr(r / "sample_submission.csv", ["id", "label"], [[i, 0.5] for i in range(1, 7)])


@case
def dogs_redux(r):
    flat(r / "train", [f"{c}.{i}" for c in ("cat", "dog") for i in range(6)])
    flat(r / "test", range(1, 7))
    wr(r / "sample_submission.csv", ["id", "label"], [[i, 0.5] for i in range(1, 7)])


@case
def dog_breed(r):
    ids = [f"t{i}" for i in range(N)]
    flat(r / "train", ids)
    flat(r / "test", [f"x{i}" for i in range(6)])
    wr(r / "labels.csv", ["id", "breed"], [[k, "abc"[i % 3]] for i, k in enumerate(ids)])
    wr(
        r / "sample_submission.csv",
        ["id", "a", "b", "c"],
        [[f"x{i}", 0.3, 0.3, 0.4] for i in range(6)],
    )


@case
def cifar10(r):
    flat(r / "train", range(1, N + 1), ".png")
    flat(r / "test", range(1, 7), ".png")
    wr(
        r / "trainLabels.csv",
        ["id", "label"],
        [[i, ["cat", "dog"][i % 2]] for i in range(1, N + 1)],
    )
    wr(r / "sampleSubmission.csv", ["id", "label"], [[i, "cat"] for i in range(1, 7)])


@case
def seedlings(r):
    classes(r / "train", ["Maize", "Fat Hen"], 6, "{c}{i}.png")
    flat(r / "test", [f"q{i}" for i in range(6)], ".png")
    wr(r / "sample_submission.csv", ["file", "species"], [[f"q{i}.png", "Maize"] for i in range(6)])


@case
def invasive(r):
    flat(r / "train", range(1, 13))
    flat(r / "test", range(1, 7))
    wr(r / "train_labels.csv", ["name", "invasive"], [[i, i % 2] for i in range(1, 13)])
    wr(r / "sample_submission.csv", ["name", "invasive"], [[i, 0.5] for i in range(1, 7)])


@case
def histopathologic(r):
    flat(r / "train", [f"a{i}" for i in range(N)], ".tif")
    flat(r / "test", [f"b{i}" for i in range(6)], ".tif")
    wr(r / "train_labels.csv", ["id", "label"], [[f"a{i}", i % 2] for i in range(N)])
    wr(r / "sample_submission.csv", ["id", "label"], [[f"b{i}", 0] for i in range(6)])


@case
def siim_isic(r):
    for part, n in (("train", N), ("test", 6)):
        flat(r / "jpeg" / part, [f"ISIC_{part}{i}" for i in range(n)])
        (r / part).mkdir()
        for i in range(n):
            (r / part / f"ISIC_{part}{i}.dcm").write_bytes(b"x")
    (r / "tfrecords").mkdir()
    (r / "tfrecords/train00.tfrec").write_bytes(b"x")
    wr(
        r / "train.csv",
        [
            "image_name",
            "patient_id",
            "sex",
            "age_approx",
            "anatom_site_general_challenge",
            "diagnosis",
            "benign_malignant",
            "target",
        ],
        [
            [
                f"ISIC_train{i}",
                f"IP_{i // 2}",
                "male",
                45,
                "head/neck",
                ["unknown", "nevus", "melanoma"][i % 3],
                "benign",
                int(i % 3 == 2),
            ]
            for i in range(N)
        ],
    )
    wr(
        r / "test.csv",
        ["image_name", "patient_id", "sex", "age_approx", "anatom_site_general_challenge"],
        [[f"ISIC_test{i}", "IP_9", "male", 4, "t"] for i in range(6)],
    )
    wr(
        r / "sample_submission.csv",
        ["image_name", "target"],
        [[f"ISIC_test{i}", 0] for i in range(6)],
    )


@case
def whale_playground(r):
    flat(r / "train", [f"a{i}" for i in range(N)])
    flat(r / "test", [f"b{i}" for i in range(6)])
    wr(
        r / "train.csv",
        ["Image", "Id"],
        [[f"a{i}.jpg", ["new_whale", "w_1", "w_2", "w_3", "w_4", "w_5"][i % 6]] for i in range(N)],
    )
    wr(
        r / "sample_submission.csv",
        ["Image", "Id"],
        [[f"b{i}.jpg", "new_whale w_1 w_2 w_3 w_4"] for i in range(6)],
    )


@case
def paddy(r):
    rows = []
    for c in ("blast", "normal"):
        for i in range(6):
            img(r / "train_images" / c / f"10{c}{i}.jpg")
            rows.append([f"10{c}{i}.jpg", c, "ADT45", 45])
    wr(r / "train.csv", ["image_id", "label", "variety", "age"], rows)
    flat(r / "test_images", [f"2{i}" for i in range(6)])
    wr(r / "sample_submission.csv", ["image_id", "label"], [[f"2{i}.jpg", ""] for i in range(6)])


@case
def classify_leaves(r):
    flat(r / "images", range(18))
    wr(
        r / "train.csv",
        ["image", "label"],
        [[f"images/{i}.jpg", ["maclura", "ulmus"][i % 2]] for i in range(12)],
    )
    wr(r / "test.csv", ["image"], [[f"images/{i}.jpg"] for i in range(12, 18)])
    wr(
        r / "sample_submission.csv",
        ["image", "label"],
        [[f"images/{i}.jpg", "maclura"] for i in range(12, 18)],
    )


@case
def cassava2020(r):
    flat(r / "train_images", range(100, 112))
    flat(r / "test_images", [999])
    (r / "train_tfrecords").mkdir()
    (r / "train_tfrecords/a.tfrec").write_bytes(b"x")
    (r / "label_num_to_disease_map.json").write_text("{}")
    wr(
        r / "train.csv",
        ["image_id", "label"],
        [[f"{i}.jpg", i % 5 if i < 110 else 1] for i in range(100, 112)],
    )
    wr(r / "sample_submission.csv", ["image_id", "label"], [["999.jpg", 4]])


@case
def aptos(r):
    flat(r / "train_images", [f"a{i}" for i in range(20)], ".png")
    flat(r / "test_images", [f"b{i}" for i in range(6)], ".png")
    wr(r / "train.csv", ["id_code", "diagnosis"], [[f"a{i}", i % 5] for i in range(20)])
    wr(r / "test.csv", ["id_code"], [[f"b{i}"] for i in range(6)])
    wr(r / "sample_submission.csv", ["id_code", "diagnosis"], [[f"b{i}", 0] for i in range(6)])


@case
def state_farm(r):
    rows = []
    for c in ("c0", "c1"):
        for i in range(6):
            img(r / "imgs" / "train" / c / f"img_{c}{i}.jpg")
            rows.append([f"p{i // 2:03d}", c, f"img_{c}{i}.jpg"])
    flat(r / "imgs" / "test", [f"img_{i}" for i in range(6)])
    wr(r / "driver_imgs_list.csv", ["subject", "classname", "img"], rows)
    wr(
        r / "sample_submission.csv",
        ["img", "c0", "c1"],
        [[f"img_{i}.jpg", 0.5, 0.5] for i in range(6)],
    )


@case
def plant_path_2020(r):
    flat(r / "images", [f"Train_{i}" for i in range(12)] + [f"Test_{i}" for i in range(6)])
    h = ["image_id", "healthy", "multiple_diseases", "rust", "scab"]
    wr(
        r / "train.csv",
        h,
        [[f"Train_{i}"] + [int(j == i % 4) for j in range(4)] for i in range(12)],
    )
    wr(r / "test.csv", h[:1], [[f"Test_{i}"] for i in range(6)])
    wr(r / "sample_submission.csv", h, [[f"Test_{i}", 0.25, 0.25, 0.25, 0.25] for i in range(6)])


@case
def plant_path_2021(r):
    flat(r / "train_images", [f"a{i}" for i in range(12)])
    flat(r / "test_images", [f"b{i}" for i in range(3)])
    wr(
        r / "train.csv",
        ["image", "labels"],
        [[f"a{i}.jpg", ["healthy", "scab frog_eye_leaf_spot", "scab"][i % 3]] for i in range(12)],
    )
    wr(
        r / "sample_submission.csv",
        ["image", "labels"],
        [[f"b{i}.jpg", "healthy"] for i in range(3)],
    )


@case
def planet(r):
    flat(r / "train-jpg", [f"train_{i}" for i in range(12)])
    flat(r / "test-jpg", [f"test_{i}" for i in range(6)])
    wr(
        r / "train_v2.csv",
        ["image_name", "tags"],
        [[f"train_{i}", ["haze primary", "clear primary road"][i % 2]] for i in range(12)],
    )
    wr(
        r / "sample_submission_v2.csv",
        ["image_name", "tags"],
        [[f"test_{i}", "primary clear"] for i in range(6)],
    )


@case
def imet2019(r):
    flat(r / "train", [f"a{i}" for i in range(12)], ".png")
    flat(r / "test", [f"b{i}" for i in range(6)], ".png")
    wr(
        r / "train.csv",
        ["id", "attribute_ids"],
        [[f"a{i}", ["147 616", "51 616", "147"][i % 3]] for i in range(12)],
    )
    wr(
        r / "labels.csv",
        ["attribute_id", "attribute_name"],
        [[147, "culture"], [616, "x"], [51, "y"]],
    )
    wr(r / "sample_submission.csv", ["id", "attribute_ids"], [[f"b{i}", "0 1 2"] for i in range(6)])


@case
def iwildcam2019(r):
    flat(r / "train_images", [f"a{i}" for i in range(12)])
    flat(r / "test_images", [f"b{i}" for i in range(6)])
    wr(
        r / "train.csv",
        [
            "category_id",
            "date_captured",
            "file_name",
            "frame_num",
            "id",
            "location",
            "rights_holder",
            "seq_id",
            "seq_num_frames",
            "width",
            "height",
        ],
        [
            [i % 3, "2011", f"a{i}.jpg", 1, f"a{i}", i % 4, "E", f"s{i // 2}", 3, 1024, 747]
            for i in range(12)
        ],
    )
    wr(
        r / "test.csv",
        ["date_captured", "file_name", "frame_num", "id", "location"],
        [["2011", f"b{i}.jpg", 1, f"b{i}", 33] for i in range(6)],
    )
    wr(r / "sample_submission.csv", ["Id", "Category"], [[f"b{i}", 0] for i in range(6)])


@case
def ultramnist(r):
    flat(r / "train", [f"a{i}" for i in range(12)], ".jpeg")
    flat(r / "test", [f"b{i}" for i in range(6)], ".jpeg")
    wr(r / "train.csv", ["id", "digit_sum"], [[f"a{i}", [3, 14][i % 2]] for i in range(12)])
    wr(r / "sample_submission.csv", ["id", "digit_sum"], [[f"b{i}", 0] for i in range(6)])


@case
def hotel2021(r):
    rows = []
    for c in (0, 3):
        for i in range(6):
            img(r / "train_images" / str(c) / f"h{c}{i}.jpg")
            rows.append([f"h{c}{i}.jpg", c, 100 + i, "2018"])
    flat(r / "test_images", [f"t{i}" for i in range(3)])
    wr(r / "train.csv", ["image", "chain", "hotel_id", "timestamp"], rows)
    wr(
        r / "sample_submission.csv",
        ["image", "hotel_id"],
        [[f"t{i}.jpg", "100 101 102 103 104"] for i in range(3)],
    )


@case
def ranzcr(r):
    flat(r / "train", [f"1.2.{i}" for i in range(12)])
    flat(r / "test", [f"9.2.{i}" for i in range(6)])
    cl = ["ETT - Abnormal", "ETT - Normal", "CVC - Normal"]
    wr(
        r / "train.csv",
        ["StudyInstanceUID", *cl, "PatientID"],
        [[f"1.2.{i}", i % 2, int(i % 3 == 0), int(i % 4 != 0), f"bf{i // 2}"] for i in range(12)],
    )
    wr(
        r / "sample_submission.csv",
        ["StudyInstanceUID", *cl],
        [[f"9.2.{i}", 0, 0, 0] for i in range(6)],
    )


@case
def pawpularity(r):
    flat(r / "train", [f"a{i}" for i in range(12)])
    flat(r / "test", [f"b{i}" for i in range(6)])
    wr(
        r / "train.csv",
        ["Id", "Subject Focus", "Eyes", "Pawpularity"],
        [[f"a{i}", 0, 1, 20 + i] for i in range(12)],
    )
    wr(r / "test.csv", ["Id", "Subject Focus", "Eyes"], [[f"b{i}", 0, 1] for i in range(6)])
    wr(r / "sample_submission.csv", ["Id", "Pawpularity"], [[f"b{i}", 65.28] for i in range(6)])


@case
def intel_images(r):
    for p in ("seg_train", "seg_test"):
        classes(r / p / p, ["buildings", "forest"])
    flat(r / "seg_pred" / "seg_pred", range(6))


@case
def mobileodt(r):
    classes(r / "train", ["Type_1", "Type_2"])
    flat(r / "test", range(6))
    classes(r / "additional", ["Type_1", "Type_2"])
    wr(
        r / "sample_submission.csv",
        ["image_name", "Type_1", "Type_2"],
        [[f"{i}.jpg", 0.5, 0.5] for i in range(6)],
    )


@case
def camera_model(r):
    classes(r / "train", ["HTC-1-M7", "iPhone-4s"])
    flat(r / "test", [f"img_{i}_manip" for i in range(6)], ".tif")
    wr(
        r / "sample_submission.csv",
        ["fname", "camera"],
        [[f"img_{i}_manip.tif", "HTC-1-M7"] for i in range(6)],
    )


@case
def plankton(r):
    classes(r / "train", ["acantharia", "diatom"])
    flat(r / "test", range(1, 7))
    wr(
        r / "sampleSubmission.csv",
        ["image", "acantharia", "diatom"],
        [[f"{i}.jpg", 0.5, 0.5] for i in range(1, 7)],
    )


@case
def street_view(r):
    flat(r / "train", range(1, 13), ".Bmp")
    flat(r / "test", range(20, 26), ".Bmp")
    flat(r / "trainResized", range(1, 13), ".Bmp")
    flat(r / "testResized", range(20, 26), ".Bmp")
    wr(r / "trainLabels.csv", ["ID", "Class"], [[i, "nT"[i % 2]] for i in range(1, 13)])
    wr(r / "sampleSubmission.csv", ["ID", "Class"], [[i, "A"] for i in range(20, 26)])


@case
def platesv2(r):
    classes(r / "plates" / "train", ["cleaned", "dirty"])
    flat(r / "plates" / "test", [f"{i:04d}" for i in range(6)])
    (r / "plates" / "train" / ".DS_Store").write_bytes(b"")
    classes(r / "__MACOSX" / "plates" / "train", ["cleaned"])
    (r / "plates.zip").write_bytes(b"PK")
    wr(r / "sample_submission.csv", ["id", "label"], [[f"{i:04d}", "dirty"] for i in range(6)])


@case
def springfield(r):
    classes(r / "train" / "simpsons_dataset", ["bart_simpson", "lisa_simpson"])
    flat(r / "testset" / "testset", [f"img{i}" for i in range(6)])
    wr(
        r / "sample_submission.csv",
        ["Id", "Expected"],
        [[f"img{i}.jpg", "bart_simpson"] for i in range(6)],
    )


@case
def food11_hw3(r):
    flat(r / "training", [f"{c}_{i}" for c in range(3) for i in range(5)])
    flat(r / "validation", [f"{c}_{i}" for c in range(3) for i in range(3)])
    flat(r / "testing", [f"{i:04d}" for i in range(6)])
    wr(r / "sampleSubmission.csv", ["Id", "Category"], [[i, 0] for i in range(6)])


@case
def unibuc_brain(r):
    flat(r / "data", [f"{i:06d}" for i in range(1, 25)], ".png")
    wr(r / "train_labels.txt", ["id", "class"], [[f"{i:06d}", i % 2] for i in range(1, 13)])
    wr(r / "validation_labels.txt", ["id", "class"], [[f"{i:06d}", i % 2] for i in range(13, 19)])
    wr(r / "sample_submission.txt", ["id", "class"], [[f"{i:06d}", 0] for i in range(19, 25)])


@case
def food80(r):
    flat(r / "train_set", [f"train_{i}" for i in range(12)])
    flat(r / "test_set", [f"test_{i}" for i in range(6)])
    wr(
        r / "train_labels.csv",
        ["img_name", "label"],
        [[f"train_{i}.jpg", i % 3 + 1] for i in range(12)],
    )
    wr(r / "sample.csv", ["img_name", "label"], [[f"test_{i}.jpg", 1] for i in range(6)])


@case
def zindi_rice(r):
    flat(r / "Images", [f"id_{i}{s}" for i in range(18) for s in ("", "_rgn")])
    wr(
        r / "Train.csv",
        ["Image_id", "Label"],
        [[f"id_{i}.jpg", ["blast", "brown", "healthy"][i % 3]] for i in range(12)],
    )
    wr(r / "Test.csv", ["Image_id"], [[f"id_{i}.jpg"] for i in range(12, 18)])
    wr(
        r / "SampleSubmission.csv",
        ["Image_id", "blast", "brown", "healthy"],
        [[f"id_{i}.jpg", 0, 0, 0] for i in range(12, 18)],
    )


@case
def naive_bees(r):
    flat(r / "images" / "train", [f"{i}" for i in range(12)])
    flat(r / "images" / "test", [f"{i}" for i in range(100, 106)])
    wr(r / "train_labels.csv", ["id", "genus"], [[i, float(i % 2)] for i in range(12)])
    wr(r / "SubmissionFormat.csv", ["id", "genus"], [[i, 0.5] for i in range(100, 106)])


@case
def aerial_cactus(r):
    flat(r / "train", [f"a{i}" for i in range(12)])
    flat(r / "test", [f"b{i}" for i in range(6)])
    wr(r / "train.csv", ["id", "has_cactus"], [[f"a{i}.jpg", i % 2] for i in range(12)])
    wr(r / "sample_submission.csv", ["id", "has_cactus"], [[f"b{i}.jpg", 0.5] for i in range(6)])


@case
def chest_xray(r):
    classes(r / "chest_xray" / "train", ["NORMAL", "PNEUMONIA"])
    classes(r / "chest_xray" / "val", ["NORMAL", "PNEUMONIA"], 2)
    classes(r / "chest_xray" / "test", ["NORMAL", "PNEUMONIA"], 3)


@case
def digit_recognizer(r):
    h = ["label"] + [f"pixel{i}" for i in range(784)]
    wr(
        r / "train.csv",
        h,
        [[i % 10, *grey(f"train/{i}")] for i in range(30)],
    )
    wr(r / "test.csv", h[1:], [grey(f"test/{i + 1}") for i in range(10)])
    wr(r / "sample_submission.csv", ["ImageId", "Label"], [[i + 1, 0] for i in range(10)])


@case
def petals_tfrecords(r):
    for side in (192, 224):
        q = r / f"tfrecords-jpeg-{side}x{side}"
        for k in range(2):
            rows = [
                {
                    "class": i % 3,
                    "id": f"{k}{i:02d}a".encode(),
                    "image": jpeg(f"train/{i}", (side, side)),
                }
                for i in range(6)
            ]
            tfrecord(q / "train" / f"{k:02d}-{side}x{side}-6.tfrec", rows)
        tfrecord(
            q / "val" / f"00-{side}x{side}-6.tfrec",
            [
                {"class": i % 3, "id": f"v{i}".encode(), "image": jpeg(f"val/{i}", (side, side))}
                for i in range(6)
            ],
        )
        tfrecord(
            q / "test" / f"00-{side}x{side}-5.tfrec",
            [{"id": f"t{i}".encode(), "image": jpeg(f"test/t{i}", (side, side))} for i in range(5)],
        )
    wr(r / "sample_submission.csv", ["id", "label"], [[f"t{i}", 0] for i in range(5)])


@case
def cifar10_7z(r):
    """As Kaggle ships it: train.7z, test.7z (needs py7zr)."""
    import py7zr

    flat(r / "train", range(1, 13), ".png")
    flat(r / "test", range(1, 7), ".png")
    for part in ("train", "test"):
        with py7zr.SevenZipFile(r / f"{part}.7z", "w") as archive:
            archive.writeall(r / part, part)
        shutil.rmtree(r / part)
    wr(r / "trainLabels.csv", ["id", "label"], [[i, ["cat", "dog"][i % 2]] for i in range(1, 13)])
    wr(r / "sampleSubmission.csv", ["id", "label"], [[i, "cat"] for i in range(1, 7)])


@case
def pet_images(r):
    """The Microsoft cats and dogs download: damaged files and Thumbs.db among the photos."""
    classes(r / "PetImages", ["Cat", "Dog"], 8, "{i}.jpg")
    (r / "PetImages" / "Cat" / "666.jpg").write_bytes(b"")
    (r / "PetImages" / "Dog" / "11702.jpg").write_bytes(b"\xff\xd8\xff\xe0cut")
    for c in ("Cat", "Dog"):
        (r / "PetImages" / c / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (r / "readme[1].txt").write_text("x")


def make(name, root, draw=noise):
    """Fill an empty folder with the replica of this name; the same bytes each time."""
    random.seed(name)
    drawing.update(draw=draw, root=root)
    CASES[name](root)
