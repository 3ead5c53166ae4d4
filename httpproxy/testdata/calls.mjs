// Calls of kubo-rpc-client against the RPC at argv[2]: one line of JSON for each.
import { create, CID } from 'kubo-rpc-client'
const ipfs = create({ url: process.argv[2] })
const all = async (it) => { const out = []; for await (const x of it) out.push(x); return out }
const bytes = async (it) => { let n = ''; for await (const x of it) n += new TextDecoder().decode(x); return n }
const plain = (v) => JSON.parse(JSON.stringify(v ?? null, (k, x) => typeof x === 'bigint' ? 'bigint' : x instanceof Uint8Array ? [...x] : (x && x['/'] !== undefined && typeof x.toString === 'function') ? String(x['/']) : x))
const shape = (v) => v === null ? 'null' : Array.isArray(v) ? (v.length ? [shape(v[0])] : []) : typeof v === 'object' ? Object.fromEntries(Object.keys(v).sort().filter(k => k.toLowerCase() !== 'pinfold').map(k => [k, shape(v[k])])) : typeof v
const sort = (v) => v.map(x => JSON.stringify(plain(x))).sort()

const hello = CID.parse('QmZULkCELmmk5XNfCgTnCyFgAVxBRBXyDHGGMVoLFLiXEN')
const world = CID.parse('QmQzCQn4puG4qu8PVysxZmscmQ5vT1ZXpqo7f58Uh9QfyY')
let dir
const calls = {
  version: async () => shape(plain(await ipfs.version())),
  id: async () => Object.keys(await ipfs.id()).filter(k => k !== 'pinfold').sort(),
  add: async () => plain(await ipfs.add('hello\n')),
  addWithProgress: async () => { let last = 0; const r = await ipfs.add('0123456789'.repeat(100000), { progress: (n) => { last = n } }); return [plain(r), last] },
  addNamed: async () => plain(await ipfs.add({ path: 'n.txt', content: 'named' }, { pinName: 'called' })),
  addAll: async () => { const r = await all(ipfs.addAll([{ path: 'd/a.txt', content: 'hello\n' }, { path: 'd/b.txt', content: 'b' }])); dir = r.find(x => x.path === 'd').cid; return plain(r) },
  addV1: async () => plain(await ipfs.add('v1', { cidVersion: 1, wrapWithDirectory: false })),
  addOnlyHash: async () => plain(await ipfs.add('only', { onlyHash: true })),
  pinAdd: async () => String(await ipfs.pin.add(hello)),
  pinAddDirect: async () => String(await ipfs.pin.add(CID.parse('QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn'), { recursive: false })),
  pinLs: async () => sort(await all(ipfs.pin.ls({ type: 'recursive' }))),
  pinLsDirect: async () => sort(await all(ipfs.pin.ls({ type: 'direct' }))),
  pinLsNames: async () => sort(await all(ipfs.pin.ls({ type: 'recursive', names: true }))),
  pinLsName: async () => sort(await all(ipfs.pin.ls({ name: 'called' }))),
  pinLsPaths: async () => plain(await all(ipfs.pin.ls({ paths: [hello] }))),
  pinLsMissing: async () => plain(await all(ipfs.pin.ls({ paths: [world] }))),
  pinRm: async () => String(await ipfs.pin.rm(hello)),
  pinRmMissing: async () => String(await ipfs.pin.rm(world)),
  cat: async () => bytes(ipfs.cat(hello)),
  catRange: async () => bytes(ipfs.cat(hello, { offset: 1, length: 3 })),
  ls: async () => plain(await all(ipfs.ls(dir))),
  get: async () => (await bytes(ipfs.get(hello))).length > 0,
  refs: async () => plain(await all(ipfs.refs(dir, { recursive: true }))),
  resolve: async () => ipfs.resolve(`/ipfs/${dir}/a.txt`),
  blockPut: async () => String(await ipfs.block.put(new TextEncoder().encode('a block'))),
  blockGet: async () => new TextDecoder().decode(await ipfs.block.get(CID.parse('bafkreieszcozqu5c6vyw2krdmm7ina227ks5iijvqdn64cce6u3wpuutza'))),
  blockStat: async () => plain(await ipfs.block.stat(hello)),
  dagPut: async () => String(await ipfs.dag.put({ a: 1 }, { pin: true })),
  dagGet: async () => Object.keys((await ipfs.dag.get(dir)).value).sort(),
  dagResolve: async () => plain(await ipfs.dag.resolve(`/ipfs/${dir}/a.txt`)),
  repoStat: async () => shape(plain(await ipfs.repo.stat())),
  swarmPeers: async () => plain(await ipfs.swarm.peers()),
  filesMkdir: async () => plain(await ipfs.files.mkdir('/x')),
  filesCp: async () => plain(await ipfs.files.cp(`/ipfs/${hello}`, '/x/h')),
  filesLs: async () => plain(await all(ipfs.files.ls('/x'))),
  filesStat: async () => plain(await ipfs.files.stat('/x')),
  filesRead: async () => bytes(ipfs.files.read('/x/h')),
  filesRm: async () => plain(await ipfs.files.rm('/x', { recursive: true })),
  repoGc: async () => (await all(ipfs.repo.gc())).every(x => x.cid !== undefined || x.err !== undefined)
}
for (const [name, f] of Object.entries(calls)) {
  let out
  try { out = { ok: await f() } } catch (e) { out = { error: `${e.name}: ${e.message}` } }
  console.log(JSON.stringify({ name, ...out }))
}
process.exit(0)
