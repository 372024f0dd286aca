"""The images of Apache libcloud against Ingot. INGOT_URL, without /v2, and INGOT_TOKEN say where."""
import json
import os
import sys
import time
from urllib.parse import urlsplit

from libcloud.common.exceptions import BaseHTTPError
from libcloud.common.types import InvalidCredsError
from libcloud.compute.providers import get_driver
from libcloud.compute.types import Provider


def connect(token):
    url = urlsplit(os.environ["INGOT_URL"])
    driver = get_driver(Provider.DIGITAL_OCEAN)(token)
    connection = driver.connection
    connection.host, connection.port, connection.secure = url.hostname, url.port, url.scheme == "https"
    connection.connect()
    return driver


driver = connect(os.environ["INGOT_TOKEN"])


def check(ok, what):
    if not ok:
        sys.exit("libcloud: %s" % (what,))


def refused(error, call, words):
    try:
        call()
    except error as e:
        return check(words in str(e), e)
    sys.exit("libcloud: no %s" % error.__name__)


def request(method, path, body=None):
    return driver.connection.request("/v2/" + path, method=method, data=json.dumps(body) if body is not None else None)


def create(name, source):
    """libcloud makes images of nodes alone; its connection takes the rest."""
    answer = request("POST", "images", {"name": name, "url": os.environ[source], "region": "nyc3"})
    check(answer.status == 202, answer.status)
    image = answer.object["image"]
    while image["status"] in ("NEW", "pending"):
        time.sleep(0.05)
        image = request("GET", "images/%s" % image["id"]).object["image"]
    return image


def own():
    return [i.id for i in driver.list_images() if not i.extra["public"]]


def main():
    if sys.argv[1:] == ["pages"]:
        print("\n".join(str(i) for i in own()))
        return
    created = create("libcloud", "SOURCE")
    check(created["status"] == "available", created["error_message"])
    image = driver.get_image(created["id"])
    check((image.name, image.extra["regions"], image.extra["min_disk_size"]) == ("libcloud", ["nyc3"], 1), image.extra)
    check(own() == [image.id], "list_images")
    check(driver.list_images()[0].extra["slug"] == "debian-12-x64", "a public image")
    check(driver.get_image("debian-12-x64").extra["public"], "get_image by slug")
    check("nyc3" in [r.id for r in driver.list_locations()], "list_locations")
    check(driver.ex_account_info()["status"] == "active", "ex_account_info")

    action = request("POST", "images/%s/actions" % image.id, {"type": "transfer", "region": "lon1"}).object["action"]
    while action["status"] == "in-progress":
        time.sleep(0.05)
        action = driver.ex_get_event(action["id"])
    check(action["status"] == "completed", action)
    check(action["id"] in [e["id"] for e in driver.ex_list_events()], "ex_list_events")

    refused(BaseHTTPError, lambda: driver.get_image(999999), "could not be found")
    refused(InvalidCredsError, connect("wrong").list_images, "Unable to authenticate you.")
    check("404" in create("bad", "BAD_SOURCE")["error_message"], "a bad source")
    check(driver.delete_image(image), "delete_image")
    refused(BaseHTTPError, lambda: driver.delete_image(image), "already deleted")
    check(own() == [], "list_images after delete_image")


main()
