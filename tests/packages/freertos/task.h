/* A stand-in, as FreeRTOS.h. */
typedef struct task *TaskHandle_t;
TaskHandle_t xTaskCreateStatic(void (*code)(void *), const char *name, uint32_t stack_words, void *argument,
                               unsigned long priority, StackType_t *stack, StaticTask_t *task);
uint32_t ulTaskNotifyTake(BaseType_t clear, uint32_t ticks);
void vTaskNotifyGiveFromISR(TaskHandle_t task, BaseType_t *woken);
void vTaskSuspend(TaskHandle_t task);
