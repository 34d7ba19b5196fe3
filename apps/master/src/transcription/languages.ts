/** Whisper's languages by ISO 639-1 code (three have only a longer one). */
const LANGUAGES: Record<string, string> = {
  af: 'afrikaans',
  am: 'amharic',
  ar: 'arabic',
  as: 'assamese',
  az: 'azerbaijani',
  ba: 'bashkir',
  be: 'belarusian',
  bg: 'bulgarian',
  bn: 'bengali',
  bo: 'tibetan',
  br: 'breton',
  bs: 'bosnian',
  ca: 'catalan',
  cs: 'czech',
  cy: 'welsh',
  da: 'danish',
  de: 'german',
  el: 'greek',
  en: 'english',
  es: 'spanish',
  et: 'estonian',
  eu: 'basque',
  fa: 'persian',
  fi: 'finnish',
  fo: 'faroese',
  fr: 'french',
  gl: 'galician',
  gu: 'gujarati',
  ha: 'hausa',
  haw: 'hawaiian',
  he: 'hebrew',
  hi: 'hindi',
  hr: 'croatian',
  ht: 'haitian creole',
  hu: 'hungarian',
  hy: 'armenian',
  id: 'indonesian',
  is: 'icelandic',
  it: 'italian',
  ja: 'japanese',
  jw: 'javanese',
  ka: 'georgian',
  kk: 'kazakh',
  km: 'khmer',
  kn: 'kannada',
  ko: 'korean',
  la: 'latin',
  lb: 'luxembourgish',
  ln: 'lingala',
  lo: 'lao',
  lt: 'lithuanian',
  lv: 'latvian',
  mg: 'malagasy',
  mi: 'maori',
  mk: 'macedonian',
  ml: 'malayalam',
  mn: 'mongolian',
  mr: 'marathi',
  ms: 'malay',
  mt: 'maltese',
  my: 'myanmar',
  ne: 'nepali',
  nl: 'dutch',
  nn: 'nynorsk',
  no: 'norwegian',
  oc: 'occitan',
  pa: 'punjabi',
  pl: 'polish',
  ps: 'pashto',
  pt: 'portuguese',
  ro: 'romanian',
  ru: 'russian',
  sa: 'sanskrit',
  sd: 'sindhi',
  si: 'sinhala',
  sk: 'slovak',
  sl: 'slovenian',
  sn: 'shona',
  so: 'somali',
  sq: 'albanian',
  sr: 'serbian',
  su: 'sundanese',
  sv: 'swedish',
  sw: 'swahili',
  ta: 'tamil',
  te: 'telugu',
  tg: 'tajik',
  th: 'thai',
  tk: 'turkmen',
  tl: 'tagalog',
  tr: 'turkish',
  tt: 'tatar',
  uk: 'ukrainian',
  ur: 'urdu',
  uz: 'uzbek',
  vi: 'vietnamese',
  yi: 'yiddish',
  yo: 'yoruba',
  yue: 'cantonese',
  zh: 'chinese'
}

const OTHER_NAMES: Record<string, string> = {
  burmese: 'my',
  castilian: 'es',
  flemish: 'nl',
  haitian: 'ht',
  jv: 'jw',
  letzeburgesch: 'lb',
  mandarin: 'zh',
  moldavian: 'ro',
  moldovan: 'ro',
  panjabi: 'pa',
  pushto: 'ps',
  sinhalese: 'si',
  valencian: 'ca'
}

const BY_NAME = new Map([
  ...Object.entries(LANGUAGES).map(([code, name]): [string, string] => [name, code]),
  ...Object.entries(OTHER_NAMES)
])

/** Whisper has its own code for one language, and one for two. */
const OTHER_CODES: Record<string, string> = { fil: 'tl', jv: 'jw', nb: 'no' }

/**
 * The code of one of Whisper's languages by its name in English, or by any code or tag of it: `German`, `de`, `deu`, `ger`,
 * `de-AT`, `zh_Hans`; undefined: not one of Whisper's.
 */
export function languageCodeOf(text: string): string | undefined {
  const wanted = text.trim().toLowerCase()
  return BY_NAME.get(wanted) ?? whisperCode(wanted) ?? whisperCode(primaryOf(wanted))
}

function whisperCode(code: string): string | undefined {
  return Object.hasOwn(LANGUAGES, code) ? code : OTHER_CODES[code]
}

/** `pt` of `pt_br` and of `pt_BR.UTF-8`, `de` of `ger`, `yue` of `zh-yue`; of what is no tag of a language, the text itself. */
function primaryOf(tag: string): string {
  const [name = tag] = tag.replaceAll('_', '-').split(/[.@]/)
  // A language within another one: `Intl` knows it by its own code only.
  const [, extended] = /^[a-z]{2}-([a-z]{3})\b/.exec(name) ?? []
  try {
    return new Intl.Locale(extended ?? name).language
  } catch {
    return tag
  }
}

/** `German` for `de`. */
export function languageNameOf(code: string): string {
  const name = LANGUAGES[code] ?? code
  return name.charAt(0).toUpperCase() + name.slice(1)
}
