"""Chat models behind one interface: local ones and servers."""

from syn2real.language.chat.choice import CHAT_MODELS, chat_model
from syn2real.language.chat.model import ChatModel, Conversation, Message, Sampling

__all__ = ["CHAT_MODELS", "ChatModel", "Conversation", "Message", "Sampling", "chat_model"]
