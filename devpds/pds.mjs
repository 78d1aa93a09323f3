// The reference PDS for development. Every PDS_* variable of the real one works; these are only other defaults.
import crypto, { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { Secp256k1Keypair } from '@atproto/crypto'
import { PDS, envToCfg, envToSecrets, readEnv } from '@atproto/pds'

import { serve } from './serve.mjs'

const fromEnv = Object.fromEntries(Object.entries(readEnv()).filter(([, value]) => value !== undefined))
const data = path.resolve(fromEnv.dataDirectory ?? 'data/pds')
fs.mkdirSync(path.join(data, 'actors'), { recursive: true })

/** The secrets live as long as the accounts that depend on them. */
async function keptSecrets() {
  const file = path.join(data, 'secrets.json')
  if (!fs.existsSync(file)) {
    const rotationKey = await Secp256k1Keypair.create({ exportable: true })
    const recoveryKey = await Secp256k1Keypair.create()
    const secrets = {
      plcRotationKeyK256PrivateKeyHex: Buffer.from(await rotationKey.export()).toString('hex'),
      recoveryDidKey: recoveryKey.did(),
      jwtSecret: randomBytes(32).toString('hex'),
      dpopSecret: randomBytes(32).toString('hex'),
      adminPassword: randomBytes(16).toString('hex'),
    }
    fs.writeFileSync(`${file}.new`, JSON.stringify(secrets), { mode: 0o600 })
    fs.renameSync(`${file}.new`, file)
  }
  return JSON.parse(fs.readFileSync(file, 'utf8'))
}

// Tests create hundreds of accounts whose passwords protect nothing, so hashing may be cheap.
if (process.env.DEVPDS_CHEAP_PASSWORDS) {
  const { scrypt } = crypto
  crypto.scrypt = (password, salt, length, done) => scrypt(password, salt, length, { cost: 2 }, done)
}

const env = {
  devMode: true, // plain http URLs are accepted
  disableSsrfProtection: true, // PLC and clients are on loopback
  hostname: 'localhost', // the only name for which the PDS calls itself http://localhost:PORT
  port: 2583,
  didPlcUrl: 'http://localhost:2582',
  serviceHandleDomains: ['.test'],
  inviteRequired: false,
  blobUploadLimit: 100 * 1024 * 1024,
  blobstoreDiskLocation: path.join(data, 'blobs'),
  ...(await keptSecrets()),
  ...fromEnv,
  dataDirectory: data,
}
const cfg = envToCfg(env)
const pds = await PDS.create(cfg, envToSecrets(env))

// *.test is not in DNS, so the PDS resolves these handles from its own accounts.
const { handle: handles } = pds.ctx.idResolver
const resolve = handles.resolve.bind(handles)
handles.resolve = async (handle) => (await pds.ctx.accountManager.getAccount(handle))?.did ?? resolve(handle)

await serve(pds, `PDS ready on ${cfg.service.publicUrl}, data in ${data}`)
