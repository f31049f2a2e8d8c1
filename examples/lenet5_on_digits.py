"""LeNet-5, traced, compiled and trained on handwritten digits, scaled to the 32 x 32 of 1998.

python examples/lenet5_on_digits.py [--epochs 8] [--seed 0]
"""

import argparse

import numpy as np

import convir
from convir import data, training, zoo

INK = " .:-=+*#%@"


def main() -> None:
    parser = argparse.ArgumentParser(description="Train LeNet-5 on handwritten digits.")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    convir.manual_seed(args.seed)
    model = zoo.lenet5(input_size=32)
    print(convir.summary(model, (32, 1, 32, 32)), end="\n\n")

    digits = data.digits().resized((32, 32))
    train, test = data.train_test_split(digits, 0.2)
    print(f"Training on {len(train)} digits, testing on {len(test)} others.\n")
    history = training.fit(model, train, test, optimizer=training.Adam(lr=1e-3), epochs=args.epochs)
    print(history, end="\n\n")

    # The compiled model reads the trained weights; a batch of another size would be compiled once.
    compiled = convir.compile(model, (len(test), 1, 32, 32), inference=True)
    answers = compiled(test.inputs).argmax(axis=1)
    wrong = np.flatnonzero(answers != test.targets)
    print(f"{len(test) - len(wrong)} of {len(test)} right.")
    for index in wrong[:2]:
        print(f"\nThis {test.targets[index]} was taken for {answers[index]}:\n{picture(test.inputs[index, 0])}")


def picture(image: np.ndarray) -> str:
    """The image in characters, each as high as two are wide."""
    levels = (image[::2] * (len(INK) - 1)).round().astype(int)
    return "\n".join("  " + "".join(INK[level] for level in row).rstrip() for row in levels)


if __name__ == "__main__":
    main()
