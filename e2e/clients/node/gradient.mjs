// The images of @digitalocean/gradient against Ingot. GRADIENT_BASE_URL and DIGITALOCEAN_ACCESS_TOKEN say where.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import Gradient, { AuthenticationError, NotFoundError, PermissionDeniedError, UnprocessableEntityError } from '@digitalocean/gradient';

const client = new Gradient();
const images = client.gpuDroplets.images;

async function settled(id) {
  for (;;) {
    const { image } = await images.retrieve(id);
    if (!['NEW', 'pending'].includes(image.status)) return image;
    await sleep(50);
  }
}

async function lifeOfAnImage() {
  const { image: fresh } = await images.create({
    name: 'gradient', url: process.env.SOURCE, region: 'nyc3', distribution: 'Ubuntu', description: 'one', tags: ['e2e', 'Gradient'],
  });
  assert.ok(['NEW', 'pending', 'available'].includes(fresh.status), fresh.status);
  assert.equal(fresh.type, 'custom');
  const image = await settled(fresh.id);
  assert.equal(image.status, 'available', image.error_message);
  assert.equal(image.error_message, '');
  assert.deepEqual(image.regions, ['nyc3']);
  assert.deepEqual(image.tags, ['Gradient', 'e2e']);
  assert.equal(image.min_disk_size, 1);
  assert.equal(typeof image.size_gigabytes, 'number');
  assert.equal(image.distribution, 'Ubuntu');

  for (const query of [{ private: true }, { tag_name: 'gradient' }, { per_page: 200, page: 1 }, {}]) {
    const page = await images.list(query);
    assert.deepEqual(page.images.filter((i) => !i.public).map((i) => i.id), [image.id], JSON.stringify(query));
  }
  const published = await images.list({ type: 'distribution' });
  assert.deepEqual(published.images.map((i) => i.slug), ['debian-12-x64']);
  const { image: debian } = await images.retrieve('debian-12-x64');
  assert.deepEqual([debian.id, debian.public, debian.type, debian.distribution], [published.images[0].id, true, 'base', 'Debian']);
  await assert.rejects(images.delete(debian.id), PermissionDeniedError);
  assert.equal((await images.list({ tag_name: 'nobody' })).meta.total, 0);

  const { image: renamed } = await images.update(image.id, { name: 'gradient two', description: '', distribution: 'Debian' });
  assert.deepEqual([renamed.name, renamed.description, renamed.distribution], ['gradient two', '', 'Debian']);
  assert.equal((await images.update(image.id, {})).image.name, 'gradient two');
  return image;
}

async function actions(image) {
  const answer = await images.actions.create(image.id, { type: 'transfer', region: 'ams3' });
  let action = answer.action ?? answer; // the SDK's type says the one, the reference's example the other
  assert.equal(action.type, 'transfer');
  while (action.status === 'in-progress') {
    await sleep(50);
    const again = await images.actions.retrieve(action.id, { image_id: image.id });
    action = again.action ?? again;
  }
  assert.equal(action.status, 'completed');
  assert.equal(action.resource_id, image.id);
  assert.ok((await images.actions.list(image.id)).actions.some((a) => a.id === action.id));
  assert.deepEqual((await images.retrieve(image.id)).image.regions, ['ams3', 'nyc3']);
  await assert.rejects(images.actions.create(image.id, { type: 'transfer', region: 'ams3' }), UnprocessableEntityError);
  await assert.rejects(images.actions.create(image.id, { type: 'convert' }), UnprocessableEntityError);
}

async function refusals() {
  await assert.rejects(images.create({}), (e) => e instanceof UnprocessableEntityError && /name.*url.*region/.test(e.message));
  await assert.rejects(images.retrieve(999999), NotFoundError);
  await assert.rejects(images.retrieve('no-such-slug'), NotFoundError);
  const stranger = new Gradient({ accessToken: 'wrong' });
  await assert.rejects(stranger.gpuDroplets.images.list(), AuthenticationError);
  const { image } = await images.create({ name: 'bad', url: process.env.BAD_SOURCE, region: 'nyc3' });
  const failed = await settled(image.id);
  assert.equal(failed.status, 'deleted');
  assert.match(failed.error_message, /404/);
}

async function deletion(image) {
  await images.delete(image.id);
  await assert.rejects(images.retrieve(image.id), NotFoundError);
  await assert.rejects(images.delete(image.id),
    (e) => e instanceof UnprocessableEntityError && e.message.includes('Image Can not delete an already deleted image.'));
}

// every page, as the reference describes it
async function pages() {
  const ids = [];
  for (let page = 1; ; page++) {
    const answer = await images.list({ page, per_page: 50, private: true });
    ids.push(...answer.images.map((i) => i.id));
    if (!answer.links?.pages?.next) return ids;
  }
}

if (process.argv[2] === 'pages') {
  console.log((await pages()).join('\n'));
} else {
  const image = await lifeOfAnImage();
  await actions(image);
  const { regions } = await client.regions.list({ per_page: 200 });
  assert.ok(regions.some((r) => r.slug === 'nyc3' && r.available));
  await refusals();
  await deletion(image);
}
