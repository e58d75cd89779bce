// What the plugin remembers (`wit/store.wit`): a map in memory, and a file that every commit is
// appended to before it counts. One object is one tenant's namespace.
//
// It is here to show what a host has to do, and to prove that the plugin needs no more. It leaves
// to the platform what only a platform has: leases, so that no two passes of a tenant run at once,
// and making the file shorter from time to time.

import { closeSync, existsSync, fsyncSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs';

const KEY_BYTES_MAX = 512;
const VALUE_BYTES_MAX = 1024 * 1024;
const ITEMS_MAX = 1024;
const CALL_BYTES_MAX = 8 * 1024 * 1024;

/** A namespace in a file. */
export class FileStore {
  #entries = new Map();
  /** Every key, in order of its bytes; made anew when one comes or goes. */
  #keys = undefined;
  #file;

  constructor(path) {
    if (existsSync(path)) this.#load(path);
    this.#file = openSync(path, 'a', 0o600);
  }

  /** The imports of `contact-sync:plugin/store`. An error is thrown as its variant. */
  imports() {
    return {
      getMany: (keys) => this.#getMany(keys),
      scan: (prefix, after, entriesMax) => this.#scan(prefix, after, entriesMax),
      commit: (writes) => this.#commit(writes),
    };
  }

  close() {
    closeSync(this.#file);
  }

  #getMany(keys) {
    atMost(ITEMS_MAX, keys.length, 'keys');
    keys.forEach(checkKey);
    const values = keys.map((key) => this.#entries.get(key));
    const bytes = values.reduce((sum, value) => sum + (value?.length ?? 0), 0);
    atMost(CALL_BYTES_MAX, bytes, 'bytes');
    return values;
  }

  #scan(prefix, after, entriesMax) {
    const wanted = Math.min(Math.max(entriesMax, 1), ITEMS_MAX);
    this.#keys ??= [...this.#entries.keys()].sort(compareBytes);
    const entries = [];
    let bytes = 0;
    for (const key of this.#keys) {
      if (!key.startsWith(prefix)) continue;
      if (after !== undefined && compareBytes(key, after) <= 0) continue;
      const value = this.#entries.get(key);
      bytes += Buffer.byteLength(key) + value.length;
      if (entries.length === wanted || (bytes > CALL_BYTES_MAX && entries.length > 0)) {
        return { entries, more: true, next: entries.at(-1).key };
      }
      entries.push({ key, value });
    }
    return { entries, more: false, next: undefined };
  }

  #commit(writes) {
    atMost(ITEMS_MAX, writes.length, 'writes');
    const seen = new Set();
    let bytes = 0;
    for (const { tag, val } of writes) {
      const key = tag === 'set' ? val.key : val;
      checkKey(key);
      if (seen.has(key)) throw refused('a key occurs twice');
      seen.add(key);
      if (tag === 'set') atMost(VALUE_BYTES_MAX, val.value.length, 'bytes of a value');
      bytes += Buffer.byteLength(key) + (tag === 'set' ? val.value.length : 0);
    }
    atMost(CALL_BYTES_MAX, bytes, 'bytes');
    // One line is one commit: it is in the file as a whole, or the end of the file is cut off when
    // it is loaded.
    const line = writes.map(({ tag, val }) =>
      tag === 'set' ? [val.key, Buffer.from(val.value).toString('base64')] : [val],
    );
    try {
      append(this.#file, `${JSON.stringify(line)}\n`);
    } catch {
      throw { tag: 'unavailable', val: 1000 };
    }
    this.#apply(line);
  }

  #apply(line) {
    for (const [key, value] of line) {
      if (this.#entries.has(key) !== (value !== undefined)) this.#keys = undefined;
      if (value === undefined) this.#entries.delete(key);
      else this.#entries.set(key, new Uint8Array(Buffer.from(value, 'base64')));
    }
  }

  #load(path) {
    const text = readFileSync(path);
    const end = text.lastIndexOf('\n') + 1;
    if (end < text.length) truncateSync(path, end);
    const lines = text.subarray(0, end).toString().split('\n');
    for (const line of lines) if (line !== '') this.#apply(JSON.parse(line));
  }
}

function append(file, text) {
  const bytes = Buffer.from(text);
  for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
  fsyncSync(file);
}

/** By the bytes of UTF-8, in which JavaScript does not compare by itself. */
function compareBytes(one, other) {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}

function checkKey(key) {
  const bytes = Buffer.byteLength(key);
  if (bytes < 1 || bytes > KEY_BYTES_MAX || /\p{Cc}/u.test(key)) {
    throw refused(`a key has 1 to ${KEY_BYTES_MAX} bytes and no control characters`);
  }
}

function atMost(limit, found, what) {
  if (found > limit) throw refused(`${found} ${what}, and at most ${limit} are taken`);
}

function refused(why) {
  return { tag: 'refused', val: why };
}
