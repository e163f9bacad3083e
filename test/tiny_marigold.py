"""A tiny pipeline of Marigold with random weights, saved by diffusers as its official repos are."""

import json

import pytest
import torch

from depth_anything_ros.models.networks import torchvision_schemas  # noqa: F401 - before diffusers

diffusers = pytest.importorskip("diffusers", reason="needs the extra diffusers")
transformers = pytest.importorskip("transformers", reason="needs the extra diffusers")

INPUT_SIZE, STEPS = 64, 2
_PROMPT = ["<|startoftext|>", "<|endoftext|>"]


def _networks():
    unet = diffusers.UNet2DConditionModel(
        in_channels=8,
        out_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=4,
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 16),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
    )
    text = transformers.CLIPTextConfig(
        vocab_size=len(_PROMPT),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=8,
        bos_token_id=0,
        eos_token_id=1,
    )
    return {"unet": unet, "vae": vae, "text_encoder": transformers.CLIPTextModel(text)}


def _scheduler(kind):
    return getattr(diffusers, kind)(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )


def save(folder, prediction="depth", scheduler="DDIMScheduler"):
    """Save one; return the pipeline."""
    source = folder.with_name(f"{folder.name}_tokens")
    source.mkdir(parents=True)
    (source / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(_PROMPT)}))
    (source / "merges.txt").write_text("#version: 0.2\n")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        networks = _networks()
    pipeline = diffusers.MarigoldDepthPipeline(
        **networks,
        scheduler=_scheduler(scheduler),
        tokenizer=transformers.CLIPTokenizer(
            str(source / "vocab.json"), str(source / "merges.txt"), model_max_length=8
        ),
        prediction_type=prediction,
        default_denoising_steps=STEPS,
        default_processing_resolution=INPUT_SIZE,
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(folder)
    return pipeline
