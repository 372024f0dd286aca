"""The images of python-digitalocean against Ingot. DIGITALOCEAN_END_POINT and DIGITALOCEAN_ACCESS_TOKEN say where."""
import os
import sys
import time

import digitalocean

manager = digitalocean.Manager()


def check(ok, what):
    if not ok:
        sys.exit("python-digitalocean: %s" % (what,))


def refused(error, call):
    try:
        call()
    except error as e:
        return str(e)
    sys.exit("python-digitalocean: no %s" % error.__name__)


def settled(image):
    while image.load().status in ("NEW", "pending"):
        time.sleep(0.05)
    return image


def own(images):
    return [i.id for i in images if not i.public]


def life_of_an_image():
    image = digitalocean.Image(name="python", url=os.environ["SOURCE"], region="nyc3", distribution="Debian",
                               description="one", tags=["python"]).create()
    check(settled(image).status == "available", image.error_message)
    check((image.name, image.type, image.regions, image.tags, image.min_disk_size) ==
          ("python", "custom", ["nyc3"], ["python"], 1), vars(image))
    check(manager.get_image(image.id).description == "one", "get_image")
    check(own(manager.get_my_images()) == [image.id], "get_my_images")
    check(own(manager.get_all_images()) == [image.id], "get_all_images")
    check([i.slug for i in manager.get_distro_images()] == ["debian-12-x64"], "get_distro_images")
    check([i.slug for i in manager.get_global_images()] == ["debian-12-x64"], "get_global_images")
    check(manager.get_app_images() == [], "get_app_images")
    check(manager.get_image("debian-12-x64").distribution == "Debian", "get_image by slug")
    check(image.rename("python two")["image"]["name"] == "python two", "rename")
    return image


def actions(image):
    answer = image.transfer("fra1")["action"]
    action = digitalocean.Action.get_object(image.tokens, answer["id"])
    check(action.wait(update_every_seconds=0.05), action.status)
    check((action.type, action.resource_id, action.region_slug) == ("transfer", image.id, "fra1"), vars(action))
    check(sorted(image.load().regions) == ["fra1", "nyc3"], image.regions)
    check("region" in refused(digitalocean.DataReadError, lambda: image.transfer("fra1")), "the second transfer")


def tags(image):
    tag = digitalocean.Tag(name="spare")
    tag.create()
    check(set(tag.resources) >= {"droplets", "images", "volumes", "volume_snapshots", "databases"}, tag.resources)
    # The library knows droplets and snapshots of volumes alone; its get_data takes the rest.
    resources = {"resources": [{"resource_id": str(image.id), "resource_type": "image"}]}
    check(tag.get_data("tags/spare/resources", type="POST", params=resources) is True, "tag an image")
    check(manager.get_all_tags()[-1].load().resources["images"]["count"] == 1, "get_all_tags")
    check(image.load().tags == ["python", "spare"], image.tags)
    check(tag.get_data("tags/spare/resources", type="DELETE", params=resources) is True, "untag an image")
    check(tag.delete() is True, "delete a tag")
    refused(digitalocean.NotFoundError, tag.load)


def refusals():
    check("name" in refused(digitalocean.DataReadError, digitalocean.Image().create), "an empty create")
    refused(digitalocean.NotFoundError, lambda: manager.get_image(999999))
    refused(digitalocean.NotFoundError, lambda: manager.get_image("no-such-slug"))
    stranger = digitalocean.Manager(token="wrong")
    check(refused(digitalocean.DataReadError, stranger.get_my_images) == "Unable to authenticate you.", "a wrong token")
    bad = settled(digitalocean.Image(name="bad", url=os.environ["BAD_SOURCE"], region="nyc3").create())
    check(bad.status == "deleted" and "404" in bad.error_message, bad.error_message)


def main():
    if sys.argv[1:] == ["pages"]:
        print("\n".join(str(i.id) for i in manager.get_my_images()))
        return
    image = life_of_an_image()
    actions(image)
    tags(image)
    refusals()
    check(manager.get_account().status == "active", "get_account")
    check("fra1" in [r.slug for r in manager.get_all_regions()], "get_all_regions")
    check(image.destroy() is True, "destroy")
    refused(digitalocean.NotFoundError, image.load)
    check("already deleted" in refused(digitalocean.DataReadError, image.destroy), "the second destroy")


main()
