// A PLC directory for development. Keeps its log in PLC_DATA_DIRECTORY, one file a DID, so that it can be stopped and started.
import fs from 'node:fs'
import path from 'node:path'
import { cidForCbor } from '@atproto/common'
import plc from '@did-plc/server' // CommonJS

import { serve } from './serve.mjs'

const data = path.resolve(process.env.PLC_DATA_DIRECTORY ?? 'data/plc')
const port = Number(process.env.PLC_PORT ?? 2582)
fs.mkdirSync(data, { recursive: true })

class FileDatabase extends plc.MockDatabase {
  async load() {
    for (const name of fs.readdirSync(data).filter((name) => name.endsWith('.json'))) {
      const log = JSON.parse(fs.readFileSync(path.join(data, name), 'utf8'))
      this.contents[log[0].did] = await Promise.all(
        log.map(async (op) => ({ ...op, cid: await cidForCbor(op.operation), createdAt: new Date(op.createdAt) })),
      )
    }
    return this
  }

  async validateAndAddOp(did, proposed) {
    await super.validateAndAddOp(did, proposed)
    const file = path.join(data, `${did.split(':').at(-1)}.json`)
    fs.writeFileSync(`${file}.new`, JSON.stringify(this.contents[did].map(({ cid, ...op }) => op)))
    fs.renameSync(`${file}.new`, file) // atomic: a crash before it leaves the old log
  }
}

const db = await new FileDatabase().load()
await serve(plc.PlcServer.create({ db, port }), `PLC ready on port ${port}, data in ${data}`)
