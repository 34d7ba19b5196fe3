import type { TestApp } from './start-app.ts'

/** A browser that has opened the login link: what it sends with each request of the pages. */
export async function logIn({ app, deps }: TestApp, host = 'localhost') {
  const { pathname, search } = new URL(deps.keys.createLoginLink(`http://${host}`))
  const answer = await app.inject({ url: `${pathname}${search}`, headers: { host } })
  const cookie = `${answer.headers['set-cookie']}`.split(';')[0] ?? ''
  return { answer, cookie, headers: { host, cookie } as Record<string, string> }
}
