import { readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import type { App } from './app-deps.ts'

/** The cluster page: files for a browser as they are, without a build. What they show they ask of the API, with a login. */
const FOLDER = join(import.meta.dirname, 'pages')
const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml'
}

export function addPages(app: App): void {
  for (const file of readdirSync(FOLDER)) {
    const type = TYPES[extname(file)]
    if (!type) continue
    const body = readFileSync(join(FOLDER, file))
    app.get(file === 'cluster.html' ? '/cluster' : `/cluster/${file}`, {
      config: { public: true },
      schema: { hide: true },
      // After an update of the master the browser is not to show the page of before.
      handler: async (_request, reply) => reply.type(type).header('cache-control', 'no-cache').send(body)
    })
  }
  app.get('/', {
    config: { public: true },
    schema: { hide: true },
    handler: async (_request, reply) => reply.redirect('/cluster', 302)
  })
}
