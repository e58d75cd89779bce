// What the plugin remembers (`wit/store.wit`): a map in memory, and a file that every commit is
// appended to before it counts. One object is one tenant's namespace.
//
// It is here to show what a host has to do, and to prove that the plugin needs no more. It leaves
// to the platform what only a platform has: leases, so that no two passes of a tenant run at once,
// and making the file shorter from time to time.

import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';

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
  /** Bytes of the file that count. */
  #length = 0;

  constructor(path) {
    const isNew = !existsSync(path);
    if (!isNew) this.#load(readFileSync(path));
    this.#file = openSync(path, 'a', 0o600);
    // What a crash left behind the last whole commit was never said to be there.
    if (fstatSync(this.#file).size > this.#length) ftruncateSync(this.#file, this.#length);
    if (isNew) syncFolder(dirname(path));
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
    for (let at = this.#firstFrom(prefix, after); at < this.#keys.length; at += 1) {
      const key = this.#keys[at];
      if (!key.startsWith(prefix)) break;
      const value = this.#entries.get(key);
      bytes += Buffer.byteLength(key) + value.length;
      if (entries.length === wanted || (bytes > CALL_BYTES_MAX && entries.length > 0)) {
        return { entries, more: true, next: entries.at(-1).key };
      }
      entries.push({ key, value });
    }
    return { entries, more: false, next: undefined };
  }

  /** Where keys begin that are no smaller than `prefix` and greater than `after`. */
  #firstFrom(prefix, after) {
    let [low, high] = [0, this.#keys.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const key = this.#keys[middle];
      const isBefore =
        compareBytes(key, prefix) < 0 || (after !== undefined && compareBytes(key, after) <= 0);
      if (isBefore) low = middle + 1;
      else high = middle;
    }
    return low;
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
    // One line is one commit: only as a whole it counts.
    const line = writes.map(({ tag, val }) =>
      tag === 'set' ? [val.key, Buffer.from(val.value).toString('base64')] : [val],
    );
    this.#append(Buffer.from(`${JSON.stringify(line)}\n`));
    this.#apply(line);
  }

  #append(bytes) {
    try {
      // What an earlier attempt left.
      if (fstatSync(this.#file).size > this.#length) ftruncateSync(this.#file, this.#length);
      for (let written = 0; written < bytes.length; ) {
        written += writeSync(this.#file, bytes, written);
      }
      fsyncSync(this.#file);
    } catch {
      throw { tag: 'unavailable', val: 1000 };
    }
    this.#length += bytes.length;
  }

  #apply(line) {
    for (const [key, value] of line) {
      if (this.#entries.has(key) !== (value !== undefined)) this.#keys = undefined;
      if (value === undefined) this.#entries.delete(key);
      else this.#entries.set(key, new Uint8Array(Buffer.from(value, 'base64')));
    }
  }

  #load(bytes) {
    this.#length = bytes.lastIndexOf('\n') + 1;
    const lines = bytes.subarray(0, this.#length).toString().split('\n');
    for (const line of lines) if (line !== '') this.#apply(JSON.parse(line));
  }
}

/** A file that is new is there after a crash only if its folder says so. */
function syncFolder(path) {
  const folder = openSync(path, 'r');
  fsyncSync(folder);
  closeSync(folder);
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
