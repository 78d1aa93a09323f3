"""The API reference has every route with its fields and errors, in small pages that are rendered once."""

import re

from tests.web.pages import assert_small


def groups(browser):
    return dict.fromkeys(re.findall(r'href="(/docs/[a-z-]+)"', browser.get("/docs").text))


def test_each_route_of_the_document_is_described_with_what_it_takes_and_a_curl_on_a_small_page(
    browser, world
):
    answers = {path: browser.get(path) for path in ("/docs", *groups(browser))}
    for answer in answers.values():
        assert answer.status_code == 200
        assert_small(answer)
    pages = {path: answer.text for path, answer in answers.items()}
    for path, methods in world.app.openapi()["paths"].items():
        for method, operation in methods.items():
            page = pages[f"/docs/{operation['tags'][0]}"]
            title = f'<span class="method">{method.upper()}</span> <code>{path}</code></h2>'
            assert title in page, (method, path)
            section = page.split(title)[1].split('<section class="operation"')[0]
            assert "curl" in section
            for parameter in operation.get("parameters", ()):
                if "name" in parameter:
                    assert f"<code>{parameter['name']}</code>" in section
            for content in operation.get("requestBody", {}).get("content", {}).values():
                for field in content["schema"].get("properties", {}):
                    assert f"<code>{field}</code>" in section
            assert f"<code>{path}</code>" in pages["/docs"]
    assert "int64" not in "".join(pages.values())


def test_each_code_of_an_error_has_its_meaning(browser, world):
    page = browser.get("/docs/errors").text
    for methods in world.app.openapi()["paths"].values():
        for operation in methods.values():
            for response in operation["responses"].values():
                for code in response.get("content", {}).get("application/json", {}).get("examples", ()):
                    assert f"<code>{code}</code>" in page


def test_a_page_of_the_reference_is_rendered_once_and_shows_each_viewer_their_own_menu(
    browser, world, sign_in, alice
):
    reference = world.app.state.reference
    assert "@alice.test" not in browser.get("/docs/tracks").text
    first = reference.page("tracks")
    assert "@alice.test" in sign_in(alice).get("/docs/tracks").text
    assert reference.page("tracks") is first
    assert browser.get("/docs/nothing").status_code == 404
