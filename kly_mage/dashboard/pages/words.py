"""Words: what became of a row, and how a day stands; as docs/words.md has them."""

from html import escape

import streamlit as st

from kly_mage.common.words import words
from kly_mage.dashboard.parts import head, subhead

head('What the words mean')
for title, told in words().items():
    subhead(title)
    meanings = ''.join(f'<dt>{escape(word)}</dt><dd>{escape(what)}</dd>' for word, what in told)
    st.html(f'<dl class="kly-words">{meanings}</dl>')
