import { enableCompileCache } from 'node:module'
import { join } from 'node:path'

/**
 * For the first line of a program, whose other modules come by `import()` then: code that was compiled, with its types taken
 * away, is kept for the next start, which is sooner and takes less memory: what takes types away is 20 MB, and is not loaded
 * where nothing has any. That is why this and the first file of a program are JavaScript. Where nothing can be kept, nothing
 * else is different.
 */
enableCompileCache(join(import.meta.dirname, '../../../.cache/compile'))
