"""The route file: ours is right, and a wrong one says everything that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from chassis.errors import StartError
from chassis.settings import read
from provider_worker.adapters.interface import ErrorCode, ProviderError
from provider_worker.adapters.registry import maker_of
from provider_worker.app import pools_of
from provider_worker.engine.asking import asked
from provider_worker.route_file import read_routes
from provider_worker.settings import Settings
from schemas.parts import Kind
from tests.worker_builders import item

GOOD = """
version: 1
price_version: "2026-11-20"
currency: USD
providers:
  a: {adapter: sandbox, model: m}
  b: {adapter: sandbox, model: m, retries: {waits: [1, 2, 4, 8, 8]}}
routes:
  - {kind: image, use: [a, b], per_tenant: 3, timeout_s: 60}
prices:
  - {provider: a, unit: image, usd: "0.04"}
  - {provider: b, unit: image, usd: "0.053"}
  - {provider: b, unit: image, usd: "0.211", quality: high}
"""


def faults(folder: Path, text: str) -> str:
    path = folder / "routes.yaml"
    path.write_text(text)
    with pytest.raises(StartError) as caught:
        read_routes(path)
    return "\n".join(caught.value.problems)


def written(folder: Path, text: str) -> Path:
    path = folder / "routes.yaml"
    path.write_text(text)
    return path


def test_an_attempt_has_the_time_of_its_provider_or_else_of_its_route(tmp_path: Path) -> None:
    table = read_routes(
        written(tmp_path, GOOD.replace("model: m, retries", "model: m, timeout_s: 180, retries")), {}
    ).table
    times = {pool.provider: pool.timeout_s for pool in pools_of(table)}
    assert times == {"a": 60, "b": 180}


def test_pictures_of_openai_may_take_three_minutes() -> None:
    routes = read_routes(environ=dict.fromkeys(EVERY_KEY, "k"))
    image = routes.table.routes[Kind.IMAGE]
    assert (image.timeout_of("openai"), image.timeout_of("gemini")) == (180, 60)
    assert (routes.configs["openai"].timeout_s, routes.configs["fal"].timeout_s) == (180, 60)


@pytest.mark.parametrize("wrong", ["0", "-1", "soon", ".inf"])
def test_a_time_that_is_none_is_refused_with_its_place(tmp_path: Path, wrong: str) -> None:
    text = GOOD.replace("model: m, retries", f"model: m, timeout_s: {wrong}, retries")
    assert "line 7: providers.b.timeout_s: " in faults(tmp_path, text)


def test_without_any_key_images_come_from_the_sandbox_at_four_cents() -> None:
    routes = read_routes(environ={})
    [use] = [use for use in routes.table.routes[Kind.IMAGE].uses if use.provider not in routes.disabled]
    assert (use.provider, routes.configs["sandbox"].prices.of("image")) == ("sandbox", 40_000)
    assert routes.table.routes[Kind.IMAGE].per_tenant == 5
    assert routes.table.policy("sandbox").waits == (1.0, 2.0, 4.0)


def test_prices_become_whole_micro_units_and_retries_are_per_provider(tmp_path: Path) -> None:
    routes = read_routes(written(tmp_path, GOOD), {})
    prices = routes.configs["b"].prices
    assert (prices.of("image"), prices.of("image", quality="high"), prices.of("image", quality="low")) == (
        53_000,
        211_000,
        53_000,
    )
    assert (routes.table.policy("a").max_retries, routes.table.policy("b").max_retries) == (3, 5)


def test_what_has_no_price_is_not_bought(tmp_path: Path) -> None:
    prices = read_routes(written(tmp_path, GOOD), {}).configs["a"].prices
    with pytest.raises(ProviderError, match="a has no price for one second") as caught:
        prices.of("second", resolution="720p")
    assert caught.value.code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("kind", Kind)
def test_without_any_key_every_kind_comes_from_the_sandbox(kind: Kind) -> None:
    routes = read_routes(environ={})
    route = routes.table.routes[kind]
    assert [use.provider for use in route.uses if use.provider not in routes.disabled] == ["sandbox"]


def test_an_environment_map_comes_from_the_sandbox_whatever_keys_there_are() -> None:
    routes = read_routes(environ=dict.fromkeys(EVERY_KEY, "k"))
    assert [use.provider for use in routes.table.routes[Kind.ENVIRONMENT_MAP].uses] == ["sandbox"]


OF_IMAGES = ["NANO_BANANA_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY", "FAL_KEY", "REPLICATE_API_TOKEN"]
OF_SOUND = ["ELEVENLABS_API_KEY", "SUNO_API_KEY"]
OF_MODELS = ["MESHY_API_KEY"]
EVERY_KEY = OF_IMAGES + OF_SOUND + OF_MODELS
BY_KIND = {
    Kind.TEXTURE: (["nanobanana", "gemini", "fal", "replicate"], item(kind=Kind.TEXTURE, width=1024, height=1024)),
    Kind.VIDEO: (
        ["gemini_omni", "veo"],
        item(kind=Kind.VIDEO, width=1280, height=720, format="mp4", duration_seconds=5.0),
    ),
    Kind.SFX: (["elevenlabs"], item(kind=Kind.SFX, format="mp3", duration_seconds=2.0)),
    Kind.MUSIC: (["suno", "elevenlabs", "lyria"], item(kind=Kind.MUSIC, format="mp3", duration_seconds=60.0)),
    Kind.MODEL_3D: (["meshy"], item(kind=Kind.MODEL_3D, format="glb", max_triangles=50_000)),
}


def test_with_every_key_each_provider_of_ours_quotes_a_picture() -> None:
    routes = read_routes(environ=dict.fromkeys(EVERY_KEY, "k"))
    assert not routes.disabled
    assert [use.provider for use in routes.table.routes[Kind.IMAGE].uses] == [
        "nanobanana",
        "gemini",
        "openai",
        "fal",
        "replicate",
    ]
    wish = asked(item(width=1280, height=720), "", "tenant", "reference")
    for use in routes.table.routes[Kind.IMAGE].uses:
        made = maker_of(routes.adapters[use.provider], {})(routes.configs[use.provider])
        assert 0 < made.estimate(wish).amount_micros <= 60_000


@pytest.mark.parametrize("kind", BY_KIND, ids=str)
def test_with_every_key_each_provider_of_a_kind_quotes_it(kind: Kind) -> None:
    names, wanted = BY_KIND[kind]
    routes = read_routes(environ=dict.fromkeys(EVERY_KEY, "k"))
    assert [use.provider for use in routes.table.routes[kind].uses] == names
    for name in names:
        made = maker_of(routes.adapters[name], {})(routes.configs[name])
        wish = asked(wanted, "", "tenant", "reference")
        assert made.plan(wish)
        assert 0 < made.estimate(wish).amount_micros <= 2_400_000


def test_a_video_larger_than_there_is_a_price_for_is_made_by_the_next_provider() -> None:
    routes = read_routes(environ=dict.fromkeys(OF_IMAGES, "k"))
    large = BY_KIND[Kind.VIDEO][1].model_copy(update={"width": 1920, "height": 1080})
    wish = asked(large, "", "tenant", "reference")
    omni, veo = (maker_of(routes.adapters[name], {})(routes.configs[name]) for name in ("gemini_omni", "veo"))
    with pytest.raises(ProviderError, match="no price for one second"):
        omni.estimate(wish)
    assert veo.estimate(wish).amount_micros == 8 * 400_000


def test_with_the_keys_of_sound_alone_pictures_still_come_from_the_sandbox() -> None:
    routes = read_routes(environ=dict.fromkeys(OF_SOUND, "k"))
    prices = routes.configs["elevenlabs"].prices
    assert (prices.of("generation", kind="sfx"), prices.of("minute", kind="music")) == (120_000, 300_000)
    usable = [use.provider for use in routes.table.routes[Kind.IMAGE].uses if use.provider not in routes.disabled]
    assert usable == ["sandbox"]


def test_providers_may_be_left_out_by_name(tmp_path: Path) -> None:
    routes = read_routes(written(tmp_path, GOOD), {}, only={"b"})
    assert routes.disabled == {"a": "PROVIDER_WORKER_PROVIDERS leaves it out"}
    with pytest.raises(StartError, match="there is no provider c"):
        read_routes(written(tmp_path, GOOD), {}, only={"c"})


KEYED = GOOD.replace("a: {adapter: sandbox, model: m}", "a: {adapter: sandbox, model: m, api_key_env: A_KEY}")


def test_a_provider_without_its_key_is_disabled_and_says_so(tmp_path: Path) -> None:
    routes = read_routes(written(tmp_path, KEYED), {})
    assert routes.disabled == {"a": "A_KEY is not set"}
    assert list(routes.configs) == ["b"]


def test_a_key_enables_its_provider_and_is_in_no_text(tmp_path: Path) -> None:
    routes = read_routes(written(tmp_path, KEYED), {"A_KEY": "very-secret"})
    assert not routes.disabled
    assert "very-secret" not in repr(routes)


def test_what_stands_under_otherwise_is_used_only_where_nothing_else_can_be(tmp_path: Path) -> None:
    path = written(tmp_path, KEYED.replace("use: [a, b]", "use: [a], otherwise: [b]"))
    without, keyed = read_routes(path, {}), read_routes(path, {"A_KEY": "k"})
    assert [use.provider for use in without.table.routes[Kind.IMAGE].uses] == ["a", "b"]
    assert [use.provider for use in keyed.table.routes[Kind.IMAGE].uses] == ["a"]


def test_an_address_may_come_from_the_environment(tmp_path: Path) -> None:
    text = GOOD.replace("a: {adapter", 'a: {base_url: "${A_URL:-https://a.example.com}/v1", adapter')
    path = written(tmp_path, text)
    assert read_routes(path, {}).configs["a"].base_url == "https://a.example.com/v1"
    assert read_routes(path, {"A_URL": "http://127.0.0.1:9"}).configs["a"].base_url == "http://127.0.0.1:9/v1"
    assert "line 6: providers.a.base_url: A_URL is not set" in faults(
        tmp_path, text.replace(":-https://a.example.com", "")
    )


def test_everything_that_is_wrong_is_said_at_once_each_with_its_line(tmp_path: Path) -> None:
    text = GOOD.replace("use: [a, b]", "use: [a, stranger, c, a]").replace('"0.04"', '"0.0400001"')
    text = text.replace("routes:", "  c: {adapter: sandbox, base_url: 'http://api.example.com'}\nroutes:")
    text += '  - {provider: b, unit: image, usd: "1"}\n  - {provider: other, unit: image, usd: "1"}\n'
    said = faults(tmp_path, text).replace(f"{tmp_path}/routes.yaml: ", "").splitlines()
    assert said == [
        "line 8: providers.c.base_url: a key would go to api.example.com in the clear: use https",
        "line 10: routes.0.use: a is here 2 times",
        "line 10: routes.0.use: stranger is not among the providers a, b, c",
        "line 10: routes.0.use: there is no price for c",
        "line 12: prices.0.usd: 0.0400001 is finer than a millionth",
        "line 15: prices.3.usd: one image at b has a price already",
        "line 16: prices.4.provider: other is not among the providers a, b, c",
    ]


@pytest.mark.parametrize(
    ("whole", "broken", "said"),
    [
        (
            "a: {adapter: sandbox",
            "a: {adapter: sandbocks",
            "line 6: providers.a.adapter: there is no adapter sandbocks, but",
        ),
        (
            "a: {adapter: sandbox",
            "a: {adapter: mine.none",
            "line 6: providers.a.adapter: the module mine.none of yours",
        ),
        ("model: m}", "model: ../../admin}", "line 6: providers.a.model: '../../admin' is no model"),
        ("model: m}", "modle: m}", "line 6: providers.a.modle: is none of adapter, model, base_url,"),
        (
            "model: m}",
            "base_url: 'ftp://a.example.com'}",
            "line 6: providers.a.base_url: 'ftp://a.example.com' is no address",
        ),
        ("model: m}", "base_url: '${A_URL'}", "line 6: providers.a.base_url: '${A_URL' is no address"),
        (
            "model: m}",
            "base_url: 'https://me:pw@a.example.com'}",
            "line 6: providers.a.base_url: it is an address alone",
        ),
        ("model: m}", "api_key_env: 'abc def'}", "line 6: providers.a.api_key_env: 'abc def' is no name of a variable"),
        ("model: m}", "download_hosts: ['*']}", "line 6: providers.a.download_hosts: '*' is no host"),
        ("model: m}", "download_hosts: ['*.com']}", "line 6: providers.a.download_hosts: '*.com' is no host"),
        ("model: m}", "download_hosts: fal.media}", "line 6: providers.a.download_hosts: has to be a list"),
        (
            "model: m}",
            "limits: {concurrency: yes}}",
            "line 6: providers.a.limits.concurrency: Input should be a valid integer",
        ),
        (
            "model: m}",
            "limits: {concurency: 1}}",
            "line 6: providers.a.limits.concurency: is none of concurrency, requests",
        ),
        ("timeout_s: 60", "timeout_s: .inf", "line 9: routes.0.timeout_s: Input should be a finite number"),
        ("timeout_s: 60", "timeout_s: 1e9", "line 9: routes.0.timeout_s: Input should be less than or equal to 86400"),
        ("per_tenant: 3", "per_tenant: 3, per_tenant: 4", "line 9: per_tenant is here twice"),
        ('"0.04"', '"1e400"', "line 11: prices.0.usd: Input should be less than or equal to 100000"),
        (
            "waits: [1, 2",
            "waits: [" + "1, " * 30 + "1, 2",
            "line 7: providers.b.retries.waits: has to have at most 20 entries",
        ),
    ],
)
def test_what_cannot_be_meant_is_named_with_its_line_its_key_and_what_is_allowed(
    tmp_path: Path, whole: str, broken: str, said: str
) -> None:
    assert whole in GOOD
    assert f"routes.yaml: {said}" in faults(tmp_path, GOOD.replace(whole, broken, 1))


def test_an_unknown_field_is_named(tmp_path: Path) -> None:
    assert "routes.0.per_tennant" in faults(tmp_path, GOOD.replace("per_tenant", "per_tennant"))


OPENAI = """
  c:
    adapter: openai_images
    api_key_env: NO_KEY
    options: OPTIONS
routes:"""


@pytest.mark.parametrize(
    ("adapter", "options", "said"),
    [
        ("openai_images", "{qualty: high}", "qualty: is none of the options background, "),
        ("openai_images", "{quality: ultra}", "quality: Input should be 'low', 'medium'"),
        ("openai_images", "{quality: 3}", "quality: Input should be 'low'"),
        ("fal", "{download_max_mb: many}", "download_max_mb: Input should be a valid num"),
        ("veo", "{download_max_mb: 0}", "download_max_mb: Input should be greater than 0"),
        ("replicate", "{download_timeout_s: .inf}", "download_timeout_s: Input should be a finite"),
        ("gemini_image", "{quality: high}", "quality: is none of the options download_max_mb, "),
        ("nanobanana", "{a: 1}", "a: is none of the options "),
        ("elevenlabs", "{sfx_model: 2}", "sfx_model: Input should be a valid string"),
        ("sunoapi", "{webhook_key: x}", "webhook_key: is none of the options "),
        ("gemini_interactions", "{webhook_secret_env: [a]}", "webhook_secret_env: Input should be"),
        ("meshy", "{credits: {sculpt: 1}}", "credits.sculpt: is none of the options image_to_3d, "),
        ("cli", "{}", "argv: Field required"),
        ("sandbox", "{latency: 5}", "latency: there are no options"),
    ],
)
def test_a_wrong_option_is_said_with_its_line_and_what_is_allowed(
    tmp_path: Path, adapter: str, options: str, said: str
) -> None:
    """Even of a provider that has no key yet."""
    provider = OPENAI.replace("openai_images", adapter).replace("OPTIONS", options)
    assert f"routes.yaml: line 11: providers.c.options.{said}" in faults(tmp_path, GOOD.replace("\nroutes:", provider))


def test_an_adapter_of_ones_own_may_say_what_its_options_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_options.py").write_text(
        "from provider_worker.adapters.config import Options as _O\nclass Options(_O):\n    brush: int = 1\n"
    )
    text = GOOD.replace("a: {adapter: sandbox, model: m}", "a: {adapter: own.options, options: {brush: wide}}")
    (tmp_path / "own").mkdir()
    (tmp_path / "own_options.py").rename(tmp_path / "own" / "options.py")
    assert "line 6: providers.a.options.brush: Input should be a valid integer" in faults(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"absent\.yaml: cannot be read"):
        read_routes(tmp_path / "absent.yaml")


def test_a_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    assert "is not YAML" in faults(tmp_path, "a: [")


def test_a_broken_file_is_told_together_with_the_other_settings(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(GOOD.replace("timeout_s: 60", "timeout_s: 0").replace("currency: USD", "currency: EUR"))
    with pytest.raises(StartError) as caught:
        read(Settings, {"PROVIDER_WORKER_ROUTES_FILE": str(path), "PROVIDER_WORKER_HANDS": "many"})
    of_routes = [problem for problem in caught.value.problems if problem.startswith("PROVIDER_WORKER_ROUTES_FILE ")]
    assert [problem.split(": ")[1:3] for problem in of_routes] == [
        ["line 4", "currency"],
        ["line 9", "routes.0.timeout_s"],
    ]
    assert any(problem.startswith("PROVIDER_WORKER_HANDS ") for problem in caught.value.problems)
