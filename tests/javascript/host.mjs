// A host of the plugin in JavaScript: one pass over one mailbox.
//
//   node host.mjs COMPONENT JOB STATE
//
// COMPONENT is the folder that `jco transpile` wrote, JOB a file with the job as JSON (`job` of
// `wit/types.wit`, in jco's spelling), STATE the file that keeps what the tenant's passes remember.
// Prints the report as JSON. Exit code 0: complete; 3: something waits for approval; 4: not done.
//
// HTTP is the shim's: it adds no credentials, so the job's addresses are those that
// `contact-sync proxy` prints.

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

import { WASIShim } from '@bytecodealliance/preview2-shim/instantiation';

import { FileStore } from './store.mjs';

const [component, job, state] = process.argv.slice(2);
const store = new FileStore(state);
const plugin = await load(component, store.imports());
const { outcome, text } = await sync(plugin, JSON.parse(readFileSync(job)));
store.close();
process.stdout.write(`${text}\n`);
process.exitCode = { complete: 0, 'needs-approval': 3 }[outcome] ?? 4;

/** An instance of the transpiled component, for one tenant and one pass. */
async function load(folder, storeImports) {
  const { instantiate } = await import(pathToFileURL(resolve(folder, 'plugin.js')));
  const compile = async (name) => WebAssembly.compile(readFileSync(join(folder, name)));
  return instantiate(compile, {
    ...new WASIShim().getImportObject(),
    'contact-sync:plugin/store': storeImports,
  });
}

/** A pass, step by step: between two steps nothing is in flight and all is remembered. */
async function sync({ sync }, job) {
  let pass;
  try {
    pass = sync.Pass.open(job, 'sync');
  } catch (error) {
    if (!error.payload) throw error;
    return { outcome: 'failed', text: json(error.payload) };
  }
  for (;;) {
    const { tag, val } = pass.advance();
    if (tag === 'done') return { outcome: val.outcome.tag, text: json(val) };
    // The service asked for a pause, which is the host's to wait.
    if (tag === 'waiting') await new Promise((done) => setTimeout(done, val.waitMs));
  }
}

/** Numbers of 64 bits are no JSON of their own. */
function json(value) {
  return JSON.stringify(value, (_, member) => (typeof member === 'bigint' ? Number(member) : member));
}
