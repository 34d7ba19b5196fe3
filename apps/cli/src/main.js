import '@sc/shared/compile-cache.js'

await import('./run.ts')
