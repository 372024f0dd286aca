// The images and tags of dots-wrapper against Ingot. INGOT_URL, without /v2, and INGOT_TOKEN say where.
const assert = require('node:assert/strict');
const { setTimeout: sleep } = require('node:timers/promises');
const { createApiClient } = require('dots-wrapper');

const dots = createApiClient({ endpoint: `${process.env.INGOT_URL}/v2`, token: process.env.INGOT_TOKEN });

const status = (code) => (e) => { assert.equal(e.response?.status, code, e.message); return true; };

async function settled(image_id) {
  for (;;) {
    const { data: { image } } = await dots.image.getImage({ image_id });
    if (!['NEW', 'pending'].includes(image.status)) return image;
    await sleep(50);
  }
}

async function own(query) {
  const { data } = await dots.image.listImages(query);
  return data.images.filter((i) => !i.public).map((i) => i.id);
}

async function lifeOfAnImage() {
  const created = await dots.image.createCustomImage({
    name: 'dots', url: process.env.SOURCE, region: 'nyc3', distribution: 'Fedora', description: 'one', tags: ['dots'],
  });
  assert.equal(created.status, 202);
  const image = await settled(created.data.image.id);
  assert.equal(image.status, 'available', image.error_message);
  assert.deepEqual([image.name, image.description, image.distribution, image.tags], ['dots', 'one', 'Fedora', ['dots']]);
  assert.deepEqual(await own({ user_images: true }), [image.id]);
  assert.deepEqual(await own({ tag_name: 'dots' }), [image.id]);
  const { data: { images: published } } = await dots.image.listImages({ type: 'distribution' });
  assert.deepEqual(published.map((i) => i.slug), ['debian-12-x64']);
  assert.equal((await dots.image.getImage({ slug: 'debian-12-x64' })).data.image.id, published[0].id);
  // updateImage of dots-wrapper 3.12 sends a POST, which neither the reference nor Ingot has for this path.
  await assert.rejects(dots.image.updateImage({ image_id: image.id, name: 'x' }), status(405));
  return image;
}

async function actions({ id: image_id }) {
  const { data: { action } } = await dots.image.transferImage({ image_id, region: 'sfo3' });
  for (let now = action; now.status !== 'completed'; await sleep(50)) {
    assert.equal(now.status, 'in-progress');
    ({ data: { action: now } } = await dots.image.getImageAction({ image_id, action_id: action.id }));
  }
  const { data: { action: same } } = await dots.action.getAction({ action_id: action.id });
  assert.deepEqual([same.type, same.resource_id, same.resource_type, same.region_slug], ['transfer', image_id, 'image', 'sfo3']);
  for (const list of [dots.image.listImageActions({ image_id }), dots.action.listActions({})]) {
    assert.ok((await list).data.actions.some((a) => a.id === action.id));
  }
  await assert.rejects(dots.image.convertImageToSnapshot({ image_id }), status(422));
}

async function tags({ id }) {
  const resources = [{ resource_id: String(id), resource_type: 'image' }];
  const created = await dots.tag.createTag({ name: 'spare' });
  assert.equal(created.status, 201);
  assert.equal(created.data.tag.resources.images.count, 0);
  assert.equal((await dots.tag.tagResources({ tag_name: 'spare', resources })).status, 204);
  assert.equal((await dots.tag.getTag({ tag_name: 'spare' })).data.tag.resources.images.count, 1);
  assert.deepEqual(await own({ tag_name: 'spare' }), [id]);
  assert.equal((await dots.tag.untagResources({ tag_name: 'spare', resources })).status, 204);
  assert.deepEqual(await own({ tag_name: 'spare' }), []);
  assert.deepEqual((await dots.tag.listTags({})).data.tags.map((t) => t.name).sort(), ['dots', 'spare']);
  assert.equal((await dots.tag.deleteTag({ tag_name: 'spare' })).status, 204);
  await assert.rejects(dots.tag.getTag({ tag_name: 'spare' }), status(404));
}

async function deletion({ id: image_id }) {
  assert.equal((await dots.image.deleteImage({ image_id })).status, 204);
  await assert.rejects(dots.image.getImage({ image_id }), status(404));
  await assert.rejects(dots.image.deleteImage({ image_id }), status(422));
}

async function pages() {
  const ids = [];
  for (let page = 1; ; page++) {
    const { data } = await dots.image.listImages({ page, per_page: 25, user_images: true });
    ids.push(...data.images.map((i) => i.id));
    if (!data.links.pages?.next) return ids;
  }
}

async function main() {
  if (process.argv[2] === 'pages') {
    console.log((await pages()).join('\n'));
    return;
  }
  const image = await lifeOfAnImage();
  await actions(image);
  await tags(image);
  assert.equal((await dots.account.getAccount()).data.account.status, 'active');
  assert.ok((await dots.region.listRegions({})).data.regions.some((r) => r.slug === 'sfo3'));
  await deletion(image);
}

main().catch((e) => { console.error(e.stack, e.response?.data ?? ''); process.exit(1); });
