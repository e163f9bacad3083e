import pytest
import torch

from depth_anything_ros.models.networks.output import NetworkOutput


def maps(count, batch=2):
    return [torch.rand(batch, 4, 6) for _ in range(count)]


def test_one_tensor_is_named_by_what_the_model_answers():
    (values,) = maps(1)
    for kind in ("metric", "affine_depth"):
        assert NetworkOutput.of(values, kind) == (values, None, None, None, None)
    assert NetworkOutput.of(values, "relative").disparity is values
    both = NetworkOutput(*maps(2))
    assert NetworkOutput.of(both, "relative") is both


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        (NetworkOutput(*maps(4)), ("depth", "sky", "disparity", "sky_logit")),
        (NetworkOutput(*maps(2)), ("depth", "sky")),
        (NetworkOutput(disparity=maps(1)[0]), ("disparity",)),
        (
            NetworkOutput(maps(1)[0], field_of_view_deg=torch.rand(2)),
            ("depth", "field_of_view_deg"),
        ),
    ],
)
def test_an_answer_is_put_together_again_and_taken_apart_by_image(answer, names):
    assert answer.names == names
    assert NetworkOutput.named(names, answer.parts) == answer
    rows = [answer.row(index) for index in range(2)]
    for one, parts in zip(
        answer.parts, zip(*(row.parts for row in rows), strict=True), strict=True
    ):
        assert torch.equal(torch.cat(parts), one)
    with pytest.raises(ValueError, match="shorter"):
        NetworkOutput.named((*names, "sky"), answer.parts)
