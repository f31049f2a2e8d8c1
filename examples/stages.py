"""Every stage of a compilation as text and picture, with a page that puts them side by side.

    python examples/stages.py [FOLDER]

Pictures need Graphviz (the ``dot`` program, or ``pip install 'convir[render]'``); text does not.
"""

import sys

import convir
from convir import zoo
from convir.dump import dump


def main() -> None:
    folder = sys.argv[1] if len(sys.argv) > 1 else "lenet5_stages"
    passes = convir.pipeline(conv="im2col")
    compiled = convir.compile(zoo.lenet5(), (8, 1, 28, 28), passes=passes)

    print(f"{'stage':36} nodes  what became of the first convolution")
    for stage in compiled.stages:
        first = [node.op.name for node in stage.graph.nodes if node.origin == "conv1"]
        print(f"{stage.name:36} {len(stage.graph.nodes):5}  {', '.join(first[:6])}{' ...' if len(first) > 6 else ''}")

    written = dump(compiled.stages, folder, title="LeNet-5, stage by stage", passes=passes)
    print(f"\n{len(written.files)} files in {folder}: open {folder}/index.html")
    if written.not_drawn:
        print(f"Without pictures: {written.not_drawn}")


if __name__ == "__main__":
    main()
