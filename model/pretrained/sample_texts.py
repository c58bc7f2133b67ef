"""Texts that show an encoder's hidden states what they meet: short and long, many languages, digits, code, nonsense."""

from __future__ import annotations

SAMPLE_TEXTS = (
    "The delivery arrived two days late, and the box was open.",
    "I would like to transfer money from my savings account to a friend abroad.",
    "what time does the last train leave tonight",
    "Shares of the company fell 4.7 percent after it cut its forecast for the third quarter.",
    "Patients who were given the drug for twelve weeks reported less pain than those who took a placebo.",
    "lol that was soooo funny!!! can't stop laughing \U0001f602\U0001f602",
    "A dull, overlong film that wastes a fine cast.",
    "One of the most moving stories I have read in years; the last chapter is unforgettable.",
    "WIN a FREE phone now! Text YES to 80085. Cost 150p/msg. Unsubscribe: STOP",
    "ok",
    "?",
    "no",
    "My card was charged twice for the same order (#48213-B), please refund one of the payments.",
    "The goalkeeper saved two penalties and the visitors went through to the final.",
    "Error: connection refused at 10.0.0.12:5432 after 3 retries; see https://example.org/docs?id=7#top",
    "def add(a, b):\n    return a + b  # sums two numbers",
    "Scientists have found water ice below the surface of a crater near the south pole of the moon.",
    "The minister said on Tuesday that talks with the union would go on, although neither side expects a quick end of "
    "the strike, which has closed schools and stopped buses in four cities since the beginning of the month.",
    "Dear Sir or Madam, I am writing to complain about the noise from the building site next to our house. Work starts "
    "at six in the morning, goes on until late in the evening, and has done so for almost half a year. I have called "
    "three times and was promised an answer each time. None has come. Please tell me who is responsible.",
    "I'm not angry, just disappointed.",
    "Is it going to rain in Lisbon on Friday?",
    "GREAT PRODUCT, TERRIBLE SUPPORT!!!",
    "0123456789 3.14159 1,000,000 -42 50% $9.99",
    "<p>Hello&nbsp;<b>world</b></p>",
    "the the the the the the the the",
    "Remind me to call Aunt Grace at noon tomorrow and book a table for four.",
    "Das Konzert war ausverkauft, aber wir haben an der Abendkasse noch zwei Karten bekommen.",
    "¿Dónde puedo cambiar la contraseña de mi cuenta?",
    "Le train de nuit pour Marseille est annulé à cause de la neige.",
    "Новая версия программы работает быстрее и занимает меньше памяти.",
    "这家餐厅的服务很好,但是价格有点贵。",
    "注文した商品がまだ届いていません。",
    "وصلت الرسالة متأخرة ولم أتمكن من الرد عليها في الوقت المناسب.",
    "मुझे कल सुबह की पहली ट्रेन का टिकट चाहिए।",
    "asdf qwer zxcv hjkl",
    "Yesterday, all my troubles seemed small; today they fill the whole room, the stairs, the street outside.",
)
"""Written for this purpose."""
