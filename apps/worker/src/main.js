import '@sc/shared/compile-cache.js'

await import('./command-line.ts')
