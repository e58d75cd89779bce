// What `jco transpile COMPONENT --instantiation async --name plugin -o FOLDER` does, by the library
// that jco does it with: the command would bring a hundred packages more, for making components.
//
//   node transpile.mjs COMPONENT FOLDER
//
// `overrides` in package.json: the shim names version 0.3.2 of jco-node-fs, which is not published
// for every platform that it lists, and `npm ci` wants them all. The component has no files.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { transpile, writeFiles } from '@bytecodealliance/jco-transpile';

const [component, folder] = process.argv.slice(2);
const { files } = await transpile(component, {
  outDir: folder,
  name: 'plugin',
  instantiation: 'async',
});
await writeFiles(files);
// The folder may lie outside of every package, where Node.js takes `.js` for CommonJS.
writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n');
