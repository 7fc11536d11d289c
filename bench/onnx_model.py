# SPDX-License-Identifier: MIT
"""Writes the ONNX form of a BERT model folder: onnx_model.py MODEL_FOLDER OUT.onnx

The graph is written by hand with the fused operators of onnxruntime (EmbedLayerNormalization, Attention, BiasGelu,
SkipLayerNormalization): its strongest form on a CPU. Inputs: input_ids and attention_mask, int32, [batch, length],
padding at the end. Output: last_hidden_state, [batch, length, hidden].
"""
import json
import os
import sys

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save


def read_safetensors(path):
    """Name -> array of every F32 tensor of the file."""
    data = np.memmap(path, dtype=np.uint8, mode="r")
    size = int(data[:8].view(np.uint64)[0])
    header = json.loads(data[8 : 8 + size].tobytes())
    tensors = {}
    for name, entry in header.items():
        if entry.get("dtype") == "F32":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            tensors[name] = data[begin:end].view(np.float32).reshape(entry["shape"])
    return tensors


def build(folder):
    with open(os.path.join(folder, "config.json")) as file:
        config = json.load(file)
    weights = read_safetensors(os.path.join(folder, "model.safetensors"))
    epsilon = config["layer_norm_eps"]
    nodes, constants = [], []

    def constant(name, array):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weight(name):
        return constant(name, weights[name])

    def transposed(name):
        return constant(name, weights[name].T)

    def node(operator, inputs, outputs, domain="com.microsoft", **attributes):
        nodes.append(helper.make_node(operator, inputs, outputs, domain=domain, **attributes))
        return outputs[0]

    # Every token is of type 0, so that row goes into the positions.
    positions = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    norm = [weight("embeddings.LayerNorm.weight"), weight("embeddings.LayerNorm.bias")]
    words = weight("embeddings.word_embeddings.weight")
    hidden = node(
        "EmbedLayerNormalization",
        ["input_ids", "", words, constant("positions", positions), "", *norm, "attention_mask"],
        ["embedded", "mask_index"],
        epsilon=epsilon,
    )
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}."

        def normalised(update, residual, part, output):
            inputs = [update, residual, weight(part + "LayerNorm.weight"), weight(part + "LayerNorm.bias")]
            return node("SkipLayerNormalization", inputs + [weight(part + "dense.bias")], [output], epsilon=epsilon)

        def multiplied(value, part, output):
            return node("MatMul", [value, transposed(part + "dense.weight")], [output], domain="")

        roles = [layer + "attention.self." + role for role in ("query", "key", "value")]
        joined = constant(layer + "qkv.weight", np.concatenate([weights[role + ".weight"].T for role in roles], axis=1))
        bias = constant(layer + "qkv.bias", np.concatenate([weights[role + ".bias"] for role in roles]))
        attended = node(
            "Attention", [hidden, joined, bias, "mask_index"], [layer + "attended"], num_heads=config["num_attention_heads"]
        )
        projected = multiplied(attended, layer + "attention.output.", layer + "projected")
        middle = normalised(projected, hidden, layer + "attention.output.", layer + "middle")
        wide = multiplied(middle, layer + "intermediate.", layer + "wide")
        active = node("BiasGelu", [wide, weight(layer + "intermediate.dense.bias")], [layer + "active"])
        narrow = multiplied(active, layer + "output.", layer + "narrow")
        last = i + 1 == config["num_hidden_layers"]
        hidden = normalised(narrow, middle, layer + "output.", "last_hidden_state" if last else layer + "hidden")

    shape = ["batch", "length"]
    graph = helper.make_graph(
        nodes,
        "bert",
        [helper.make_tensor_value_info(name, TensorProto.INT32, shape) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, shape + [config["hidden_size"]])],
        constants,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


if __name__ == "__main__":
    model_folder, out = sys.argv[1:]
    save(build(model_folder), out + ".part")
    os.replace(out + ".part", out)
