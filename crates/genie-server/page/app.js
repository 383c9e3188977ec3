// The page's whole script. Text from documents and models is only ever
// inserted as text, never as markup.
"use strict";

const TEXTS = {
  en: {
    skip: "Skip to the question",
    tagline: "Answers from your documents, each with its source.",
    question: "Your question", language: "Answer in", automatic: "the question’s language",
    ask: "Ask", stop: "Stop", answer: "Answer", sources: "Sources",
    found: "Passages that were read", page: "page",
    searching: "Searching the documents…", writing: "Writing the answer…",
    ready: "The answer is ready.", stopped: "Stopped.",
    abstained: "The documents do not answer this question.",
    degraded: "No language model is available: these are quoted passages.",
    confidence: "Confidence", handOver: "A person can help:",
    unreachable: "The service can’t be reached. Is it still running?",
    broken: "The answer broke off. Please ask again.",
    busy: "The service is busy. Please try again in a moment.",
    key: "Your key",
    needsKey: "This service needs a key, which your administrator gives you. It is kept until this tab is closed.",
    source: "Go to source", seconds: "s",
  },
  fr: {
    skip: "Aller à la question",
    tagline: "Des réponses tirées de vos documents, chacune avec sa source.",
    question: "Votre question", language: "Répondre en", automatic: "la langue de la question",
    ask: "Demander", stop: "Arrêter", answer: "Réponse", sources: "Sources",
    found: "Passages lus", page: "page",
    searching: "Recherche dans les documents…", writing: "Rédaction de la réponse…",
    ready: "La réponse est prête.", stopped: "Arrêté.",
    abstained: "Les documents ne répondent pas à cette question.",
    degraded: "Aucun modèle de langue n’est disponible : voici des passages cités.",
    confidence: "Confiance", handOver: "Une personne peut vous aider :",
    unreachable: "Le service est injoignable. Fonctionne-t-il encore ?",
    broken: "La réponse a été interrompue. Veuillez reposer la question.",
    busy: "Le service est occupé. Veuillez réessayer dans un instant.",
    key: "Votre clé",
    needsKey: "Ce service demande une clé, que votre administrateur vous donne. Elle est gardée jusqu’à la fermeture de cet onglet.",
    source: "Aller à la source", seconds: "s",
  },
  es: {
    skip: "Ir a la pregunta",
    tagline: "Respuestas sacadas de sus documentos, cada una con su fuente.",
    question: "Su pregunta", language: "Responder en", automatic: "el idioma de la pregunta",
    ask: "Preguntar", stop: "Detener", answer: "Respuesta", sources: "Fuentes",
    found: "Pasajes leídos", page: "página",
    searching: "Buscando en los documentos…", writing: "Redactando la respuesta…",
    ready: "La respuesta está lista.", stopped: "Detenido.",
    abstained: "Los documentos no responden a esta pregunta.",
    degraded: "No hay ningún modelo de lenguaje disponible: estos son pasajes citados.",
    confidence: "Confianza", handOver: "Una persona puede ayudarle:",
    unreachable: "No se puede acceder al servicio. ¿Sigue en marcha?",
    broken: "La respuesta se interrumpió. Vuelva a preguntar.",
    busy: "El servicio está ocupado. Inténtelo de nuevo en un momento.",
    key: "Su clave",
    needsKey: "Este servicio necesita una clave, que le da su administrador. Se guarda hasta que se cierre esta pestaña.",
    source: "Ir a la fuente", seconds: "s",
  },
  ru: {
    skip: "Перейти к вопросу",
    tagline: "Ответы из ваших документов, каждый с источником.",
    question: "Ваш вопрос", language: "Язык ответа", automatic: "язык вопроса",
    ask: "Спросить", stop: "Остановить", answer: "Ответ", sources: "Источники",
    found: "Прочитанные фрагменты", page: "стр.",
    searching: "Поиск в документах…", writing: "Составляется ответ…",
    ready: "Ответ готов.", stopped: "Остановлено.",
    abstained: "В документах нет ответа на этот вопрос.",
    degraded: "Языковая модель недоступна: приведены цитаты из документов.",
    confidence: "Достоверность", handOver: "Вам поможет специалист:",
    unreachable: "Служба недоступна. Она ещё запущена?",
    broken: "Ответ прервался. Задайте вопрос ещё раз.",
    busy: "Служба занята. Повторите попытку чуть позже.",
    key: "Ваш ключ",
    needsKey: "Этой службе нужен ключ, который выдаёт администратор. Он хранится, пока открыта эта вкладка.",
    source: "Перейти к источнику", seconds: "с",
  },
  zh: {
    skip: "跳到问题",
    tagline: "答案来自您的文档，每条都注明出处。",
    question: "您的问题", language: "回答语言", automatic: "与问题相同",
    ask: "提问", stop: "停止", answer: "回答", sources: "来源",
    found: "已读取的段落", page: "第…页",
    searching: "正在检索文档…", writing: "正在撰写回答…",
    ready: "回答已完成。", stopped: "已停止。",
    abstained: "文档中没有这个问题的答案。",
    degraded: "没有可用的语言模型：以下为引用的原文段落。",
    confidence: "可信度", handOver: "可联系人工帮助：",
    unreachable: "无法连接服务。它还在运行吗？",
    broken: "回答中断了，请重新提问。",
    busy: "服务繁忙，请稍后再试。",
    key: "您的密钥",
    needsKey: "此服务需要密钥，由管理员提供。密钥只保存到此标签页关闭为止。",
    source: "转到来源", seconds: "秒",
  },
  ar: {
    skip: "الانتقال إلى السؤال",
    tagline: "إجابات من وثائقك، ولكل منها مصدرها.",
    question: "سؤالك", language: "لغة الإجابة", automatic: "لغة السؤال",
    ask: "اسأل", stop: "إيقاف", answer: "الإجابة", sources: "المصادر",
    found: "المقاطع المقروءة", page: "صفحة",
    searching: "جارٍ البحث في الوثائق…", writing: "جارٍ كتابة الإجابة…",
    ready: "الإجابة جاهزة.", stopped: "تم الإيقاف.",
    abstained: "لا تجيب الوثائق عن هذا السؤال.",
    degraded: "لا يتوفر نموذج لغوي: هذه مقاطع مقتبسة.",
    confidence: "درجة الثقة", handOver: "يمكن لشخص أن يساعدك:",
    unreachable: "يتعذر الوصول إلى الخدمة. هل ما زالت تعمل؟",
    broken: "انقطعت الإجابة. يرجى طرح السؤال مرة أخرى.",
    busy: "الخدمة مشغولة. يرجى المحاولة بعد قليل.",
    key: "مفتاحك",
    needsKey: "تحتاج هذه الخدمة إلى مفتاح يعطيه المسؤول، ويُحفظ حتى إغلاق هذا اللسان.",
    source: "الانتقال إلى المصدر", seconds: "ث",
  },
};

const locale = (navigator.languages || [navigator.language || "en"])
  .map((tag) => tag.slice(0, 2).toLowerCase())
  .find((tag) => tag in TEXTS) || "en";
const texts = TEXTS[locale];

const byId = (id) => document.getElementById(id);
const form = byId("ask");
const question = byId("question");
let asking = null;

document.documentElement.lang = locale;
document.documentElement.dir = locale === "ar" ? "rtl" : "ltr";
for (const element of document.querySelectorAll("[data-text]")) {
  element.textContent = texts[element.dataset.text];
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = question.value.trim();
  if (text && !asking) {
    ask(text, byId("language").value);
  }
});

// Enter asks, as in a search field; Shift+Enter starts a new line. While an
// input method composes a character, Enter belongs to it.
question.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});

byId("stop").addEventListener("click", () => asking && asking.abort());

// A key stays with this tab, and goes to this service only.
function withKey() {
  const given = byId("key").value.trim();
  if (given) {
    sessionStorage.setItem("key", given);
  }
  const key = given || sessionStorage.getItem("key");
  return key ? { "X-Api-Key": key } : {};
}

async function ask(text, language) {
  asking = new AbortController();
  begin();
  const body = { question: text };
  if (language) {
    body.language = language;
  }
  let finished = false;
  let reached = false;
  let answer = "";
  try {
    const response = await fetch("/api/v1/answer", {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        Accept: "text/event-stream",
        ...withKey(),
      },
      body: JSON.stringify(body),
      signal: asking.signal,
    });
    reached = true;
    if (response.status === 401) {
      byId("key-row").hidden = false;
      fail(texts.needsKey);
      byId("key").focus();
      return;
    }
    if (!response.ok) {
      const failure = await response.json().catch(() => ({}));
      const isBusy = response.status === 429 && failure.code !== "quota_used_up";
      fail(isBusy ? texts.busy : failure.message || texts.broken);
      return;
    }
    for await (const [name, data] of events(response.body)) {
      if (name === "sources") {
        showFound(data.passages);
        say(texts.writing);
      } else if (name === "delta") {
        answer += data.text;
        showAnswer(answer, new Set());
      } else if (name === "done") {
        finished = true;
        showDone(data);
      } else if (name === "error") {
        finished = true;
        fail(data.message || texts.broken);
      }
    }
    if (!finished) {
      fail(texts.broken);
    }
  } catch (error) {
    if (error.name === "AbortError") {
      say(texts.stopped);
    } else {
      fail(reached ? texts.broken : texts.unreachable);
    }
  } finally {
    end();
  }
}

// Server-sent events of a POST, which EventSource can't make.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) {
      return;
    }
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      let name = "message";
      const data = [];
      for (const line of block.split("\n")) {
        if (line.startsWith("event:")) {
          name = line.slice(6).trim();
        } else if (line.startsWith("data:")) {
          data.push(line.slice(5).trimStart());
        }
      }
      if (data.length) {
        yield [name, JSON.parse(data.join("\n"))];
      }
    }
  }
}

function begin() {
  for (const id of ["result", "problem", "abstained", "degraded", "hand-over", "sources", "found"]) {
    byId(id).hidden = true;
  }
  byId("found").open = false;
  byId("timing").textContent = "";
  byId("answer").replaceChildren();
  byId("answer").setAttribute("aria-busy", "true");
  byId("send").disabled = true;
  byId("stop").hidden = false;
  say(texts.searching);
}

function end() {
  asking = null;
  byId("answer").setAttribute("aria-busy", "false");
  byId("send").disabled = false;
  byId("stop").hidden = true;
}

function say(text) {
  byId("status").textContent = text;
}

function fail(text) {
  say("");
  byId("problem").textContent = text;
  byId("problem").hidden = false;
}

function showDone(body) {
  showAnswer(body.answer, new Set(body.citations.map((citation) => citation.number)));
  byId("answer").lang = body.language;
  // The answer says so itself, in its own language.
  byId("abstained").hidden = body.answered || body.language === locale;
  byId("found").open = !body.answered;
  byId("degraded").hidden = !body.degraded;
  showHandOver(body.hand_over);
  byId("source-list").replaceChildren(...body.citations.map(source));
  byId("sources").hidden = body.citations.length === 0;
  const seconds = (body.timings_ms.total / 1000).toLocaleString(locale, {
    maximumFractionDigits: 1,
  });
  const sure = body.confidence?.toLocaleString(locale, { style: "percent" });
  byId("timing").replaceChildren(...separated([
    sure && `${texts.confidence} ${sure}`, body.model, `${seconds} ${texts.seconds}`,
  ].filter(Boolean)));
  say(texts.ready);
}

// The contact is text that an administrator set; only addresses of pages and
// of mail in it become links. They and telephone numbers stay in one piece.
function showHandOver(handOver) {
  const note = byId("hand-over");
  note.hidden = !handOver;
  if (!handOver) return;
  const pieces = handOver.contact.split(ADDRESS);
  const contact = element("bdi");
  contact.append(...pieces.flatMap((piece, position) => {
    if (position % 2 === 0) return piece;
    const [whole, behind] = withoutEnd(piece);
    const target = linkOf(whole);
    const part = element(target ? "a" : "span", "whole", whole);
    if (target) {
      part.href = target;
      part.rel = "noreferrer";
    }
    return [part, behind];
  }));
  note.replaceChildren(texts.handOver, " ", contact);
}

// Letters of Latin scripts alone: others write no space before an address.
const HOST = String.raw`\p{Script=Latin}\d\-`;
const MAIL = String.raw`${HOST}.'_%+!$*=^{}|~`;

// Addresses of pages and of mail, and telephone numbers.
const ADDRESS = new RegExp("(" + [
  String.raw`https:\/\/[^\s<>";，。；：！？（）、،؛؟]+`,
  String.raw`(?<![${MAIL}])[${MAIL}]+@[${HOST}]+(?:\.[${HOST}]+)+(?![${HOST}@])`,
  String.raw`\+?\d[\d .\/\-]{4,}\d`,
].join("|") + ")", "u");

// What ends a sentence or a bracket is no part of an address that it follows.
function withoutEnd(piece) {
  const end = piece.includes("(") ? /[.,;:!?']+$/ : /[.,;:!?')\]]+$/;
  const whole = piece.replace(end, "");
  return [whole, piece.slice(whole.length)];
}

function linkOf(piece) {
  if (piece.startsWith("https:")) return piece;
  return piece.includes("@") ? `mailto:${piece}` : null;
}

// Each [n] that has a source becomes a link to it; others stay text.
function showAnswer(text, numbers) {
  byId("result").hidden = false;
  const parts = text.split(/(\[\d+\])/).map((part) => {
    const number = Number(part.slice(1, -1));
    if (!/^\[\d+\]$/.test(part) || !numbers.has(number)) {
      return document.createTextNode(part);
    }
    const link = element("a", "", part);
    link.href = `#source-${number}`;
    link.setAttribute("aria-label", `${texts.source} ${number}`);
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const target = byId(`source-${number}`);
      target.scrollIntoView({ block: "center" });
      target.focus({ preventScroll: true });
    });
    return link;
  });
  byId("answer").replaceChildren(...parts);
}

function source(citation) {
  const item = element("li");
  item.id = `source-${citation.number}`;
  item.tabIndex = -1;
  const heading = element("div");
  const title = element("span", "title", citation.title || citation.document);
  title.dir = "auto";
  heading.append(element("span", "number", `[${citation.number}]`), title);
  const quote = element("blockquote", "", citation.quote);
  quote.dir = "auto";
  item.append(heading, where(citation), quote);
  return item;
}

function showFound(passages) {
  byId("found-count").textContent = String(passages.length);
  byId("found-list").replaceChildren(...passages.map((passage) => {
    const item = element("li");
    const title = element("div", "title", passage.title || passage.document);
    title.dir = "auto";
    const text = element("blockquote", "", passage.text);
    text.dir = "auto";
    if (passage.language) {
      text.lang = passage.language;
    }
    item.append(title, where(passage), text);
    return item;
  }));
  byId("found").hidden = passages.length === 0;
}

// Page, section and document, as far as they are known.
function where(place) {
  const page = place.page === null ? "" : pageName(place.page);
  const line = element("div", "where");
  line.append(...separated([page, place.section, place.document]));
  return line;
}

// Pieces that may run in either direction, with dots in between.
function separated(pieces) {
  return pieces.filter(Boolean).flatMap((piece, position) => {
    const isolated = element("bdi", "", piece);
    return position ? [" · ", isolated] : [isolated];
  });
}

function pageName(number) {
  return texts.page.includes("…")
    ? texts.page.replace("…", ` ${number} `)
    : `${texts.page} ${number}`;
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) {
    made.className = className;
  }
  if (text) {
    made.textContent = text;
  }
  return made;
}
