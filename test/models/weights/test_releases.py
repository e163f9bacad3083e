import dataclasses
import hashlib

import pytest
import torch
from file_server import serve_files
from refusals import refusal, refused

from depth_anything_ros.core.errors import CheckpointError
from depth_anything_ros.models.weights.find import cached_weights, resolve_weights
from depth_anything_ros.models.weights.releases import Release
from depth_anything_ros.models.zoo import find_card

CONTENT = bytes(range(256)) * 10_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
CARD = find_card("test_relative")


@pytest.fixture(autouse=True)
def hub_folder(tmp_path, monkeypatch):
    """A folder of torch.hub of the test's own."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path / "torch")
    yield tmp_path / "torch" / "checkpoints"
    torch.hub.set_dir(before)


@pytest.fixture
def server():
    with serve_files({"/v3/net.pt": CONTENT}) as server:
        yield server


def _card(url, **facts):
    return dataclasses.replace(CARD, options=(*CARD.options, ("release", url)), **facts)


def _refusal(reason, *args):
    return refusal(CheckpointError, reason, Release(*args).fetch)


def test_a_file_is_fetched_once_into_the_folder_of_torch_hub(server, hub_folder):
    seen = []

    path = Release(f"{server.url}/v3/net.pt", SHA256).fetch(lambda *both: seen.append(both))

    assert path == Release(f"{server.url}/v3/net.pt").path == hub_folder / "net.pt"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert Release(f"{server.url}/v3/net.pt", SHA256).fetch() == path
    assert server.requests == ["GET /v3/net.pt"]
    assert {file.name for file in hub_folder.iterdir()} <= {"net.pt", "net.pt.lock"}


def test_a_download_that_was_cut_off_goes_on_where_it_stopped(server, hub_folder):
    server.cut_after = 1_500_000
    message = _refusal("download", f"{server.url}/v3/net.pt", SHA256)
    assert "1500000 of 2560000 bytes came" in message and "goes on where it stopped" in message
    assert not (hub_folder / "net.pt").exists()

    server.cut_after = None
    path = Release(f"{server.url}/v3/net.pt", SHA256).fetch()

    assert path.read_bytes() == CONTENT
    assert server.requests == ["GET /v3/net.pt", "GET /v3/net.pt bytes=1500000-"]


def test_a_part_of_another_version_of_the_file_is_begun_anew(server, hub_folder):
    server.cut_after = 1_500_000
    _refusal("download", f"{server.url}/v3/net.pt")
    server.cut_after, server.files["/v3/net.pt"] = None, CONTENT[::-1]

    assert Release(f"{server.url}/v3/net.pt").fetch().read_bytes() == CONTENT[::-1]


def test_a_part_that_is_whole_already_is_begun_anew(server, hub_folder):
    server.cut_after = len(CONTENT) - 1
    _refusal("download", f"{server.url}/v3/net.pt")
    (hub_folder / "net.pt.part").write_bytes(CONTENT)
    server.cut_after = None

    assert Release(f"{server.url}/v3/net.pt", SHA256).fetch().read_bytes() == CONTENT


def test_a_file_with_another_hash_is_thrown_away(server, hub_folder):
    message = _refusal("sha256", f"{server.url}/v3/net.pt", "0" * 64)

    assert f"has sha256 {SHA256}, expected {'0' * 64}" in message
    assert not list(hub_folder.glob("net.pt*[!k]"))  # but the lock


def test_a_server_that_has_no_such_file_or_is_not_there():
    with serve_files({}) as server:
        assert "404" in _refusal("download", f"{server.url}/v3/net.pt")
        url = f"{server.url}/v3/net.pt"

    assert "cannot fetch" in _refusal("download", url)


def test_weights_of_a_card_are_found_at_its_release(server, hub_folder, caplog):
    card = _card(f"{server.url}/v3/net.pt", sha256=SHA256)
    assert cached_weights(card) is None
    with refused(
        CheckpointError, "not_cached", r"downloading is off; .* run: curl -LO http"
    ) as error:
        resolve_weights("", card)
    assert str(hub_folder) in str(error.value)

    path = resolve_weights("", card, download=True)

    assert path == hub_folder / "net.pt" == cached_weights(card) == resolve_weights("", card)
    assert server.requests == ["GET /v3/net.pt"]


def test_a_file_that_torch_hub_fetched_is_taken_if_its_hash_is_right(hub_folder):
    card = _card("https://example.org/net.pt", sha256=SHA256)
    hub_folder.mkdir(parents=True)
    (hub_folder / "net.pt").write_bytes(CONTENT)
    assert resolve_weights("", card) == hub_folder / "net.pt"

    (hub_folder / "net.pt").write_bytes(b"damaged")
    with refused(CheckpointError, "sha256", f"expected {SHA256}"):
        resolve_weights("", card)


def test_of_two_places_the_one_whose_cache_has_it_is_taken(hub_folder):
    card = _card("https://example.org/net.pt", hub_repo="org/name", hub_file="net.bin")
    with pytest.raises(CheckpointError, match=r"net\.bin of org/name is not in the cache"):
        resolve_weights("", card)
    hub_folder.mkdir(parents=True)
    (hub_folder / "net.pt").touch()

    assert resolve_weights("", card) == hub_folder / "net.pt"


def test_the_releases_of_midas_whose_hash_is_stated_are_pinned(hub_folder):
    """The publisher states eight digits: model-small-70d6b9c8.pt, dpt_large-midas-2f21e586.pt."""
    small, large = find_card("midas_v21_small"), find_card("dpt_large_384")
    assert Release.of(small).sha256.startswith("70d6b9c8") and len(Release.of(small).sha256) == 64
    assert Release.of(large).sha256.startswith("2f21e586") and len(Release.of(large).sha256) == 64
    hub_folder.mkdir(parents=True)
    (hub_folder / "midas_v21_small_256.pt").write_bytes(b"another")
    with refused(CheckpointError, "sha256", "expected 70d6b9c8"):
        resolve_weights("", small)


def test_the_hash_of_a_card_is_that_of_its_file_on_the_hub_if_there_is_one():
    card = _card("https://example.org/net.pt", sha256=SHA256)
    both = dataclasses.replace(card, hub_repo="org/name")
    own = dataclasses.replace(both, options=(*both.options, ("release_sha256", "1" * 64)))

    assert (Release.of(card).url, Release.of(CARD)) == ("https://example.org/net.pt", None)
    assert [Release.of(c).sha256 for c in (card, both, own)] == [SHA256, "", "1" * 64]
