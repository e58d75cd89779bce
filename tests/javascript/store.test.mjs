// The store keeps what `wit/store.wit` promises: `node --test`, also part of `cargo test`.

import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { FileStore } from './store.mjs';

const MIB = 1024 * 1024;

function fresh() {
  const path = join(mkdtempSync(join(tmpdir(), 'store-')), 'state.log');
  const file = new FileStore(path);
  return { path, file, store: file.imports() };
}

const set = (key, value = new Uint8Array([1])) => ({ tag: 'set', val: { key, value } });
const remove = (key) => ({ tag: 'delete', val: key });
const isRefused = (error) => error.tag === 'refused' && error.val.length > 0;

test('what was committed is there, also for the next process', () => {
  const { path, file, store } = fresh();
  store.commit([set('a', new Uint8Array([0, 255])), set('b')]);
  store.commit([remove('b'), remove('never there'), set('c', new Uint8Array())]);
  file.close();
  const again = new FileStore(path).imports();
  for (const reader of [store, again]) {
    const values = reader.getMany(['c', 'b', 'a']);
    assert.deepEqual(values, [new Uint8Array(), undefined, new Uint8Array([0, 255])]);
  }
});

test('half a commit at the end of the file is none', () => {
  const { path, file, store } = fresh();
  store.commit([set('a')]);
  file.close();
  const whole = readFileSync(path);
  appendFileSync(path, '[["b","AQ=="],["c"');
  const again = new FileStore(path);
  assert.deepEqual(again.imports().getMany(['b']), [undefined]);
  assert.deepEqual(readFileSync(path), whole);
  again.imports().commit([set('d')]);
  again.close();
  assert.deepEqual(new FileStore(path).imports().scan('', undefined, 9).entries.length, 2);
});

test('every byte at which a crash may cut the file leaves the commits before it', () => {
  const { path, file, store } = fresh();
  const keys = ['ä', 'b', '😀'];
  for (const key of keys) store.commit([set(key), remove('x')]);
  file.close();
  const whole = readFileSync(path);
  for (let end = 0; end <= whole.length; end += 1) {
    writeFileSync(path, whole.subarray(0, end));
    const cut = new FileStore(path);
    const commits = whole.subarray(0, end).toString().split('\n').length - 1;
    const found = cut.imports().getMany(keys).filter((value) => value !== undefined);
    assert.equal(found.length, commits, `cut at ${end}`);
    cut.close();
  }
});

test('keys are ordered by their bytes, and pages follow each other', () => {
  const { store } = fresh();
  // As UTF-16, the last two would change places.
  const keys = ['p/a', 'p/b', 'p/ä', 'p/\uffee', 'p/😀'];
  store.commit([...keys.map((key) => set(key)), set('o'), set('q')].reverse());
  const seen = [];
  let after;
  do {
    const page = store.scan('p/', after, 2);
    assert.ok(page.entries.length <= 2);
    assert.equal(page.more, page.next !== undefined);
    seen.push(...page.entries.map((entry) => entry.key));
    after = page.next;
  } while (after !== undefined);
  assert.deepEqual(seen, keys);
  assert.deepEqual(store.scan('p/', 'a', 1).entries[0].key, 'p/a');
  assert.deepEqual(store.scan('p/', 'q', 9).entries, []);
});

test('limits are kept, and nothing of what breaks one is written', () => {
  const { store } = fresh();
  const value = (bytes) => new Uint8Array(bytes);
  for (const writes of [
    [set('')],
    [set('k'.repeat(513))],
    [set('ä'.repeat(257))],
    [set('line\nend')],
    [set('v', value(MIB + 1))],
    [set('twice'), remove('twice')],
    Array.from({ length: 1025 }, (_, index) => set(`k${index}`)),
    Array.from({ length: 8 }, (_, index) => set(`k${index}`, value(MIB))),
  ]) {
    assert.throws(() => store.commit([set('ok'), ...writes].slice(0, 1025)), isRefused);
  }
  assert.deepEqual(store.scan('', undefined, 1024).entries, []);
  store.commit([set('k'.repeat(512)), set('v', value(MIB))]);
  const tooMany = Array.from({ length: 1025 }, () => 'v');
  assert.throws(() => store.getMany(tooMany), isRefused);
  assert.throws(() => store.getMany(Array.from({ length: 9 }, () => 'v')), isRefused);
});

test('a scan stays below eight MiB', () => {
  const { store } = fresh();
  for (let index = 0; index < 9; index += 1) store.commit([set(`k${index}`, new Uint8Array(MIB))]);
  const page = store.scan('k', undefined, 1024);
  assert.equal(page.more, true);
  assert.equal(page.entries.length, 7);
});
